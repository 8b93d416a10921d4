// The page: a tab for each service that this server hosts; what is dropped or pasted goes to the one that is open.

import { startAnomaly } from "./anomaly.js";
import { startDetector } from "./detector.js";
import { startDigits } from "./digits.js";
import { settings } from "./settings.js";
import { makeTabs } from "./tabs.js";
import { startCars, startClassifier } from "./top5.js";

const SERVICES = {
  detector: ["Detector", startDetector],
  classifier: ["Classifier", startClassifier],
  cars: ["Cars", startCars],
  digits: ["Digits", startDigits],
  anomaly: ["Anomaly", startAnomaly],
};

const started = new Map();
let open = "";

function show(name) {
  open = name;
  for (const service of settings.services) document.getElementById(service).hidden = service !== name;
  if (!started.has(name)) started.set(name, SERVICES[name][1](document.getElementById(name)));
  history.replaceState(null, "", `#/${name}`); // no element's id: the browser would move the focus there
}

const select = makeTabs(
  document.getElementById("services"),
  settings.services.map((service) => [service, SERVICES[service][0]]),
  (service) => service,
  show,
);

function wanted() {
  const named = [location.hash.slice(2), ...location.pathname.split("/")];
  return named.find((name) => settings.services.includes(name)) ?? settings.services[0];
}

function paste(event) {
  const [file] = event.clipboardData.files;
  if (!file) return; // text goes where the cursor is
  event.preventDefault();
  started.get(open).take(Object.assign(file, { made: true }));
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
