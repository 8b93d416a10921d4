// What a tab says of the models behind its service; all of it is the server's own metadata.

import { element } from "./dom.js";
import { metadata } from "./wire.js";

const AGAIN_MS = 5000;

export async function showModels(root, service) {
  const told = await metadata(service);
  if (!told) return;
  const models = Object.entries(told.parameters.models).map(([name, model]) => ({ name, ...model }));
  const ready = models.filter((model) => model.ready);
  const chosen = ready.find((model) => model.weights !== "untrained") ?? ready[0]; // as the chain does
  if (chosen) root.querySelector(".about").append(...served(chosen));
  else setTimeout(() => showModels(root, service), AGAIN_MS); // they may still be loading
  root.querySelector(".models ul").replaceChildren(...models.map(line));
  root.querySelector(".models").hidden = false;
}

function served({ name, labels, weights }) {
  const facts = [labels && `${labels} ${labels === 1 ? "label" : "labels"}`, weights].filter(Boolean);
  return [" Model: ", element("code", { textContent: name }), `${["", ...facts].join(", ")}.`];
}

function line({ name, ready, reason, weights, accuracy, weights_licence }) {
  const facts = [ready ? weights : reason, accuracy, weights_licence].filter((fact) => fact && fact !== "none");
  return element("li", {}, element("code", { textContent: name }), ` ${facts.join(" · ")}`);
}
