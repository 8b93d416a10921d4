// An image from a file, the clipboard, a camera or the example, and its preview.

import { element, fill } from "./dom.js";
import { Failure } from "./wire.js";

const LONGEST = 1600; // pixels of what is kept for the preview

// The ways in for an image: `onImage(file)` is told of each, `example()` gives a File; `answer` tells why it did not.
export function chooseImage(root, answer, example, onImage) {
  fill(root, "image-input");
  for (const input of root.querySelectorAll("input[type=file]")) {
    input.addEventListener("change", () => {
      if (input.files.length) onImage(input.files[0]);
      input.value = ""; // the same file may be chosen again
    });
  }
  root.querySelector(".example").addEventListener("click", () => answer.attempt(async () => onImage(await example())));
}

// An image on a canvas, as large as there is room for, with what is drawn over it.
export class Preview {
  #canvas = element("canvas", { className: "image", hidden: true, role: "img", ariaLabel: "Your image" });
  #source = null;
  #overlay = null;

  constructor(root) {
    root.prepend(this.#canvas);
    new ResizeObserver(() => this.#paint()).observe(root);
  }

  async show(file) {
    this.#overlay = null;
    const bitmap = await createImageBitmap(file).catch(() => null); // what the server can read, the browser may not
    this.#source = bitmap && shrunk(bitmap);
    this.#canvas.hidden = !bitmap;
    this.#paint();
  }

  // Draws over the image: `overlay(context, scale, ratio)`, `scale` from the image's pixels to the canvas's, `ratio`
  // from CSS pixels to the canvas's.
  draw(overlay, description) {
    this.#overlay = overlay;
    this.#canvas.ariaLabel = description;
    this.#paint();
  }

  #paint() {
    if (!this.#source) return;
    const { image, width, height } = this.#source;
    const style = getComputedStyle(this.#canvas.parentElement);
    const room = this.#canvas.parentElement.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    if (room <= 0) return; // in a tab that is not open
    const shown = Math.min(room, (0.6 * window.innerHeight * width) / height);
    const ratio = window.devicePixelRatio;
    this.#canvas.style.width = `${shown}px`;
    this.#canvas.width = Math.round(shown * ratio);
    this.#canvas.height = Math.max(1, Math.round((shown * ratio * height) / width));
    const context = this.#canvas.getContext("2d");
    context.drawImage(image, 0, 0, this.#canvas.width, this.#canvas.height);
    this.#overlay?.(context, this.#canvas.width / width, ratio);
  }
}

export async function fetchFile(name, type) {
  const response = await fetch(new URL(name, import.meta.url)).catch(() => null);
  if (!response?.ok) throw new Failure("The example cannot be fetched: is the server still running?");
  return new File([await response.blob()], name, { type });
}

function shrunk(bitmap) {
  const { width, height } = bitmap;
  const scale = Math.min(1, LONGEST / Math.max(width, height));
  const image = new OffscreenCanvas(Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale)));
  image.getContext("2d").drawImage(bitmap, 0, 0, image.width, image.height);
  bitmap.close();
  return { image, width, height };
}
