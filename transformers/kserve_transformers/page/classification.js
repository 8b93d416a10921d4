// The five most likely classes of an image, and the same as the car classifier presents them.

import { Answer } from "./answer.js";
import { bar, element } from "./dom.js";
import { Preview, chooseImage, fetchFile } from "./image.js";

export function startClassification(root, service) {
  return start(root, service, () => fetchFile("coffee.jpg", "image/jpeg"), ([{ model, fallback, predictions, warning }]) => {
    const first = fallback ? ", a fallback: the models before it in the chain are not trained or not ready" : ", the first of its chain";
    return [
      ...headline(predictions[0].label, warning),
      bars(predictions.map(({ label, score }) => [label, score])),
      element("p", { className: "by" }, "Answered by ", element("code", { textContent: model }), `${first}.`),
    ];
  });
}

export function startCars(root, service) {
  return start(root, service, drawnCar, ([{ predictions, top_prediction: top, warning }]) => [
    ...headline(spaced(top.class), warning),
    bars(predictions.map((prediction) => [spaced(prediction.class), prediction.confidence / 100])),
  ]);
}

// A warning stands in its place.
const headline = (label, warning) => (warning ? [] : [element("p", { className: "headline", textContent: label })]);
const spaced = (label) => label.replaceAll("_", " ");

function start(root, service, example, draw) {
  const answer = new Answer(root.querySelector(".answer"), service, draw);
  const place = root.querySelector(".image-input");
  const preview = new Preview(place);
  const take = (file) => {
    preview.show(file);
    answer.show({ service, file, parameters: {} }, "start");
  };
  chooseImage(place, answer, example, take);
  return { take };
}

function bars(entries) {
  return element("ol", { className: "bars" }, ...entries.map(([name, share]) => bar(name, share)));
}

async function drawnCar() {
  const canvas = new OffscreenCanvas(480, 320);
  const context = canvas.getContext("2d");
  const area = (colour, path) => {
    context.fillStyle = colour;
    context.fill(new Path2D(path));
  };
  area("#bfdbfe", "M0 0h480v320H0z");
  area("#78716c", "M0 240h480v80H0z");
  area("#b91c1c", "M40 235v-50q5-25 60-30l50-50h150l60 50q70 5 80 35v45z");
  area("#e0f2fe", "M125 155l35-38h55v38zM230 155v-38h62l45 38z");
  for (const x of [125, 350]) {
    area("#1c1917", `M${x - 38} 235a38 38 0 0 1 76 0a38 38 0 0 1 -76 0z`);
    area("#d6d3d1", `M${x - 18} 235a18 18 0 0 1 36 0a18 18 0 0 1 -36 0z`);
  }
  return new File([await canvas.convertToBlob({ type: "image/png" })], "car.png", { type: "image/png" });
}
