// Anomalies in a series: pasted, dropped or chosen; plotted with its reconstruction, error and threshold.

import { Answer } from "./answer.js";
import { debounce, element } from "./dom.js";
import { fetchFile } from "./image.js";
import { plot } from "./plot.js";
import { join, readColumns, windowStarts } from "./series.js";
import { settings } from "./settings.js";
import { Failure, ask } from "./wire.js";

const LISTED = 12; // anomalies in words

export function startAnomaly(root, service) {
  const text = root.querySelector("textarea");
  const [columnField, columnChoice] = [root.querySelector(".columns"), root.querySelector("select")];
  const answer = new Answer(root.querySelector(".answer"), service, draw, askInParts);
  let columns = [];
  let redraw = () => {};

  // Reads the text anew; the column that is looked at is the first, until another one is chosen.
  function read() {
    answer.attempt(() => {
      columns = readColumns(text.value);
      columnChoice.replaceChildren(...columns.map(({ name }) => element("option", { textContent: name })));
      columnField.hidden = columns.length < 2;
      return look();
    });
  }

  async function look() {
    const series = columns[columnChoice.selectedIndex].read();
    const length = await windowLength(service);
    const starts = windowStarts(series.length, length);
    const windows = starts.map((start) => series.slice(start, start + length));
    answer.show({ service, windows, parameters: { reconstruction: true }, series, starts });
  }

  async function take(file) {
    text.value = await file.text();
    read();
  }

  function draw(predictions, { series, starts, windows }) {
    const [{ length }] = windows;
    const rebuilt = join(series.length, starts, predictions.map((prediction) => prediction.reconstruction));
    const judged = predictions.map((prediction, index) => ({ ...prediction, start: starts[index] }));
    const unusual = judged.filter(({ anomaly }) => anomaly);
    const headline = unusual.length ? `Anomaly in ${unusual.length} of ${judged.length} windows` : `No anomaly in ${judged.length} windows`;
    const place = element("div", { className: "plotted" });
    redraw = () => place.isConnected && place.clientWidth && place.replaceChildren(plot(place.clientWidth, series, rebuilt, judged, length, headline));
    requestAnimationFrame(() => redraw());
    const rows = unusual.slice(0, LISTED).map(({ start, mae, threshold }) =>
      element("li", { textContent: `${start} to ${start + length - 1}: error ${mae.toFixed(3)}, threshold ${threshold.toFixed(3)}` }),
    );
    if (unusual.length > LISTED) rows.push(element("li", { textContent: `and ${unusual.length - LISTED} more` }));
    return [
      element("p", { className: "headline", textContent: headline }),
      place,
      element("ul", { className: "keys" }, ...["series", "rebuilt", "unusual"].map((key, index) =>
        element("li", { className: key, textContent: ["series", "reconstruction", "anomaly"][index] }))),
      element("ul", { className: "found" }, ...rows),
    ];
  }

  text.addEventListener("input", debounce(400, read));
  columnChoice.addEventListener("change", () => answer.attempt(look));
  const chooser = root.querySelector("input[type=file]");
  chooser.addEventListener("change", () => {
    if (chooser.files.length) take(chooser.files[0]);
    chooser.value = "";
  });
  root.querySelector(".example").addEventListener("click", () => answer.attempt(async () => take(await fetchFile("pressure.csv", "text/csv"))));
  new ResizeObserver(() => redraw()).observe(root);
  return { take };
}

// As many requests as the server's limit on instances asks for, one after the other.
async function askInParts(request, signal) {
  const { windows } = request;
  const [size, whole] = [settings.maxInstances, { predictions: [], totalMs: 0 }];
  const stages = new Map();
  for (let at = 0; at < windows.length; at += size) {
    const part = await ask({ ...request, windows: windows.slice(at, at + size) }, signal);
    whole.predictions.push(...part.predictions);
    whole.totalMs += part.totalMs;
    for (const [name, ms] of part.stages) stages.set(name, (stages.get(name) ?? 0) + ms);
  }
  const count = Math.ceil(windows.length / size);
  const first = { ...request, windows: windows.slice(0, size), part: count > 1 ? `The first of ${count} requests.` : "" };
  return { ...whole, stages: [...stages], request: first };
}

async function windowLength({ name }) {
  const response = await fetch(`/v2/models/${name}`).catch(() => null);
  const length = response?.ok ? (await response.json()).inputs[0].shape[1] : -1;
  if (length < 2) throw new Failure("The server does not say yet how long a window is.", 2);
  return length;
}
