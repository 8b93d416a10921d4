// Objects in an image: boxes over it, and sliders for the two thresholds.

import { Answer } from "./answer.js";
import { bar, debounce, element } from "./dom.js";
import { Preview, chooseImage, fetchFile } from "./image.js";

// Light enough for dark letters on them.
const COLOURS = ["#5eead4", "#fcd34d", "#f9a8d4", "#93c5fd", "#bef264", "#fdba74", "#c4b5fd", "#fca5a5"];

export function startDetection(root, service) {
  let file = null;
  const sliders = [...root.querySelectorAll("input[type=range]")];
  const answer = new Answer(root.querySelector(".answer"), service, draw);
  const place = root.querySelector(".image-input");
  const preview = new Preview(place);
  chooseImage(place, answer, () => fetchFile("dog.jpg", "image/jpeg"), take);

  function take(chosen) {
    file = chosen;
    preview.show(file);
    ask("start");
  }

  function ask(scroll) {
    if (!file) return;
    const parameters = Object.fromEntries(sliders.map((slider) => [slider.name, Number(slider.value)]));
    answer.show({ service, file, parameters }, scroll);
  }

  const askSoon = debounce(120, () => ask());
  for (const slider of sliders) {
    const told = () => (slider.parentElement.querySelector("output").textContent = Number(slider.value).toFixed(2));
    slider.value = service.defaults[slider.name];
    slider.addEventListener("input", () => {
      told();
      askSoon();
    });
    told();
  }

  function draw([{ detections }], { parameters }) {
    const labels = [...new Set(detections.map((found) => found.label))].sort();
    const colour = (label) => COLOURS[labels.indexOf(label) % COLOURS.length];
    const count = `${detections.length || "No"} ${detections.length === 1 ? "object" : "objects"}`;
    preview.draw(
      (context, scale, ratio) => detections.toReversed().forEach((found) => box(context, found, colour(found.label), scale, ratio)),
      [count, ...detections.map((found) => found.label)].join(", "),
    );
    if (!detections.length) {
      const hint = `Nothing scores ${parameters.score_threshold.toFixed(2)} or more: a lower score threshold shows weaker candidates.`;
      return [element("p", { className: "headline", textContent: count }), element("p", { className: "empty", textContent: hint })];
    }
    const rows = detections.map(({ label, confidence, bbox: [x, y, width, height] }) => {
      const row = bar(label, confidence, `${width} × ${height} pixels at ${x}, ${y}`);
      row.querySelector(".filled").style.backgroundColor = colour(label);
      return row;
    });
    return [element("p", { className: "headline", textContent: count }), element("ol", { className: "bars" }, ...rows)];
  }

  return { take };
}

function box(context, { label, confidence, bbox }, colour, scale, ratio) {
  const [x, y, width, height] = bbox.map((side) => side * scale);
  const text = `${label} ${(100 * confidence).toFixed(0)} %`;
  const line = 18 * ratio;
  context.strokeStyle = context.fillStyle = colour;
  context.lineWidth = 2.5 * ratio;
  context.strokeRect(x, y, width, height);
  context.font = `600 ${12 * ratio}px system-ui, sans-serif`;
  const wide = context.measureText(text).width + 10 * ratio;
  const left = Math.max(0, Math.min(x, context.canvas.width - wide));
  const top = y >= line ? y - line : y;
  context.fillRect(left, top, wide, line);
  context.fillStyle = "#111";
  context.textBaseline = "middle";
  context.fillText(text, left + 5 * ratio, top + line / 2);
}
