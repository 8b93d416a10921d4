// Shows the request that was just answered in three forms, each to copy.

import { element } from "./dom.js";
import { curl, python, v2Address, v2Json } from "./snippets.js";
import { makeTabs } from "./tabs.js";
import { base64 } from "./wire.js";

const FORMS = [
  ["curl", "curl"],
  ["python", "Python"],
  ["v2", "V2 JSON"],
];
const SHOWN = 2000; // characters; what is copied is whole

export class Code {
  #root;
  #request = null;
  #form = "curl";
  #text = "";
  #saved = "";

  constructor(root, service) {
    this.#root = root;
    this.#root.querySelector(".text").id = `${service}-code`;
    const select = makeTabs(root.querySelector(".tabs"), FORMS, () => `${service}-code`, (form) => {
      this.#form = form;
      if (this.#request) this.#draw();
    });
    select("curl");
    root.querySelector(".copy").addEventListener("click", (event) => this.#copy(event.target));
  }

  show(request) {
    this.#request = request;
    this.#root.hidden = false;
    this.#draw();
    const save = this.#root.querySelector(".save");
    save.hidden = !request.file;
    if (save.hidden) return;
    URL.revokeObjectURL(this.#saved);
    this.#saved = URL.createObjectURL(request.file);
    Object.assign(save, { href: this.#saved, download: request.file.name, textContent: `Save ${request.file.name}` });
  }

  async #draw() {
    const [request, form] = [this.#request, this.#form];
    const image = request.file && form === "v2" ? await base64(request.file) : "";
    if (request !== this.#request || form !== this.#form) return;
    this.#text = { curl: () => curl(request), python: () => python(request), v2: () => v2Json(request, image) }[form]();
    const cut = this.#text.length > SHOWN;
    const where = [
      ...(form === "v2" ? [`POST ${v2Address(request)}`] : []),
      ...(request.part ? [request.part] : []),
      ...(cut ? ["Shown shortened; the copy is whole."] : []),
    ];
    this.#root.querySelector(".where").textContent = where.join(" · ");
    this.#root.querySelector("pre").textContent = cut
      ? `${this.#text.slice(0, SHOWN / 2)} … ${this.#text.slice(-SHOWN / 4)}`
      : this.#text;
  }

  async #copy(button) {
    const copied = await toClipboard(this.#text);
    button.textContent = copied ? "Copied" : "Not allowed here";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  }
}

// Browsers offer the clipboard to https and localhost alone; elsewhere the old way still works.
async function toClipboard(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text).then(() => true, () => false);
  const area = element("textarea", { value: text, className: "unseen" });
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  return copied;
}
