// The page: a tab for each service that this server hosts; what is dropped or pasted goes to the open one.

import { startAnomaly } from "./anomaly.js";
import { startCars, startClassification } from "./classification.js";
import { startDetection } from "./detection.js";
import { startDigits } from "./digits.js";
import { element, fill } from "./dom.js";
import { showModels } from "./models.js";
import { settings } from "./settings.js";
import { makeTabs } from "./tabs.js";

// By a service's presentation or task; each has a template VIEW-view in index.html.
const VIEWS = {
  detection: startDetection,
  classification: startClassification,
  cars: startCars,
  digits: startDigits,
  anomaly: startAnomaly,
};

const services = new Map(settings.services.filter(({ view }) => view in VIEWS).map((service) => [service.name, service]));
const panels = new Map([...services.values()].map(({ name, view }) => [name, element("section", { id: name, className: view, role: "tabpanel", hidden: true })]));
document.querySelector("main").append(...panels.values());
const started = new Map();
let open = "";

function show(name) {
  open = name;
  for (const [other, panel] of panels) panel.hidden = other !== name;
  if (!started.has(name)) started.set(name, start(services.get(name), panels.get(name)));
  history.replaceState(null, "", `#/${name}`); // no element's id: the browser would move the focus there
}

function start(service, panel) {
  fill(panel, `${service.view}-view`);
  const view = VIEWS[service.view](panel, service);
  showModels(panel, service);
  return view;
}

const select = makeTabs(
  document.getElementById("services"),
  [...services.keys()].map((name) => [name, name[0].toUpperCase() + name.slice(1)]),
  (name) => name,
  show,
);

function wanted() {
  const named = [location.hash.slice(2), ...location.pathname.split("/")];
  return named.find((name) => services.has(name)) ?? services.keys().next().value;
}

function paste(event) {
  const [file] = event.clipboardData.files;
  if (!file) return; // text goes where the cursor is
  event.preventDefault();
  started.get(open).take(file);
}

function drop(event) {
  event.preventDefault();
  document.body.classList.remove("dragging");
  if (event.dataTransfer.files.length) started.get(open).take(event.dataTransfer.files[0]);
}

select(wanted());
window.addEventListener("hashchange", () => wanted() !== open && select(wanted()));
window.addEventListener("paste", paste);
window.addEventListener("drop", drop);
window.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dragging");
});
window.addEventListener("dragleave", (event) => event.relatedTarget || document.body.classList.remove("dragging"));
