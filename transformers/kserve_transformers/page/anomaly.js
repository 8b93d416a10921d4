// Anomalies in a series: pasted, dropped or chosen; plotted with its reconstruction, error and threshold.

import { Answer } from "./answer.js";
import { debounce, element, sentence } from "./dom.js";
import { fetchFile } from "./image.js";
import { plot } from "./plot.js";
import { SeriesError, chooseColumn, decode, holdsNumbers, join, readColumns, valuesOf, windowStarts } from "./series.js";
import { settings } from "./settings.js";
import { Failure, ask } from "./wire.js";

const LISTED = 12; // anomalies in words
const MOST_POINTS = 20_000;

export function startAnomaly(root, service) {
  const text = root.querySelector("textarea");
  const [columnField, columnChoice] = [root.querySelector(".columns"), root.querySelector("select")];
  const answer = new Answer(root.querySelector(".answer"), service, draw, askInParts);
  let columns = [];
  let redraw = () => {};

  const attempt = (action) => answer.attempt(() => explained(action));

  // Reads the text anew. Where more than one column may be meant, none is chosen.
  function read() {
    return attempt(() => {
      const all = readColumns(text.value);
      columns = all.length > 1 ? all.filter(holdsNumbers) : all;
      columnChoice.replaceChildren(...columns.map(({ name, label }) => element("option", { textContent: name || label })));
      columnChoice.selectedIndex = -1;
      columnField.hidden = columns.length < 2;
      columnChoice.selectedIndex = columns.indexOf(chooseColumn(all));
      return look();
    });
  }

  async function look() {
    const series = valuesOf(columns[columnChoice.selectedIndex]);
    if (series.length > MOST_POINTS) throw new SeriesError(`the series has ${series.length} numbers; this page takes ${MOST_POINTS}`);
    const length = await windowLength(service);
    const starts = windowStarts(series.length, length);
    const windows = starts.map((start) => series.slice(start, start + length));
    answer.show({ service, windows, parameters: { reconstruction: true }, series, starts });
  }

  function take(file) {
    return attempt(async () => {
      text.value = decode(new Uint8Array(await file.arrayBuffer()));
      return read();
    });
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
  columnChoice.addEventListener("change", () => attempt(look));
  const chooser = root.querySelector("input[type=file]");
  chooser.addEventListener("change", () => {
    if (chooser.files.length) take(chooser.files[0]);
    chooser.value = "";
  });
  root.querySelector(".example").addEventListener("click", () => answer.attempt(async () => take(await fetchFile("pressure.csv", "text/csv"))));
  new ResizeObserver(() => redraw()).observe(root);
  return { take };
}

async function explained(action) {
  try {
    return await action();
  } catch (error) {
    throw error instanceof SeriesError ? new Failure(sentence(error.message)) : error;
  }
}

// As many requests as the server's limit on instances requires, one after the other.
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
