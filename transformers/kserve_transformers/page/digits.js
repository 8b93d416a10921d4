// A digit, read while it is drawn.

import { Answer } from "./answer.js";
import { bar, debounce, element } from "./dom.js";
import { chooseImage, madeFile } from "./image.js";

const INK = 22; // pixels of 320
const FIVE = [
  [[215, 75], [125, 75], [118, 145], [165, 132], [210, 155], [218, 200], [190, 242], [145, 248], [105, 228]],
];

export function startDigits(root, service) {
  const pad = root.querySelector(".pad");
  const context = pad.getContext("2d", { willReadFrequently: true });
  let drawn = 0; // strokes and clearings so far: an answer belongs to one of them
  const answer = new Answer(root.querySelector(".answer"), service, ([{ predicted_digit: digit, confidence }]) => [
    element("p", { className: "digit", textContent: digit }),
    element("ol", { className: "bars" }, bar("Confidence", confidence)),
  ]);
  const place = root.querySelector(".image-input");
  chooseImage(place, answer, drawFive, take);
  place.querySelector(".hint").before(
    element("div", { className: "buttons" }, element("button", { type: "button", textContent: "Clear", onclick: clear })),
  );

  function blank() {
    drawn += 1;
    context.fillStyle = "#fff";
    context.fillRect(0, 0, pad.width, pad.height);
  }

  function clear() {
    blank();
    answer.clear();
  }

  // Shows an image that came from elsewhere, and sends it.
  async function take(file) {
    const bitmap = await createImageBitmap(file).catch(() => null);
    blank();
    if (bitmap) {
      const scale = Math.min(pad.width / bitmap.width, pad.height / bitmap.height);
      const [width, height] = [bitmap.width * scale, bitmap.height * scale];
      context.drawImage(bitmap, (pad.width - width) / 2, (pad.height - height) / 2, width, height);
    }
    ask(file);
  }

  function ask(file) {
    answer.show({ service, file, parameters: {} });
  }

  async function padFile() {
    const blob = await new Promise((resolve) => pad.toBlob(resolve, "image/png"));
    return madeFile(blob, "digit.png");
  }

  async function read() {
    const at = drawn;
    const file = await padFile();
    if (at === drawn) ask(file);
  }

  function drawFive() {
    blank();
    for (const stroke of FIVE) stroke.forEach((point, index) => line(stroke[Math.max(0, index - 1)], point));
    return padFile();
  }

  function line([x0, y0], [x1, y1]) {
    drawn += 1;
    Object.assign(context, { lineWidth: INK, lineCap: "round", lineJoin: "round", strokeStyle: "#111" });
    context.beginPath();
    context.moveTo(x0, y0);
    context.lineTo(x1, y1);
    context.stroke();
  }

  const readSoon = debounce(150, read);
  let last = null;
  const placeOf = (event) => {
    const scale = pad.width / pad.clientWidth;
    return [event.offsetX * scale, event.offsetY * scale];
  };
  pad.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    pad.setPointerCapture(event.pointerId);
    answer.stop(); // what is under way belongs to an earlier drawing
    last = placeOf(event);
    line(last, last);
    readSoon();
  });
  pad.addEventListener("pointermove", (event) => {
    if (!last) return;
    for (const step of event.getCoalescedEvents?.() ?? [event]) {
      const next = placeOf(step);
      line(last, next);
      last = next;
    }
    readSoon();
  });
  for (const end of ["pointerup", "pointercancel"]) pad.addEventListener(end, () => (last = null));

  blank();
  return { take };
}
