// The right-hand half of a tab: a request's answer, the time of each stage, and the same request as code.

import { Code } from "./code.js";
import { element, fill, sentence } from "./dom.js";
import { Failure, ask } from "./wire.js";

export class Answer {
  #root;
  #draw;
  #send;
  #code;
  #running = null;
  #countdown = 0;

  // `draw(predictions, request)` gives the result's elements; `send(request, signal)` infers, by V1 where it is left out.
  constructor(root, service, draw, send = ask) {
    fill(root, "answer");
    this.#root = root;
    this.#draw = draw;
    this.#send = send;
    this.#code = new Code(root.querySelector(".code"), service.name);
  }

  // Sends a request and shows the answer; an earlier request that is under way is cancelled.
  // Where the answer is below what was asked, as on a phone, the page scrolls to it: by `scroll`, as scrollIntoView's block.
  async show(request, scroll = "") {
    this.stop();
    const running = (this.#running = new AbortController());
    this.#root.ariaBusy = "true";
    try {
      const answer = await this.#send(request, running.signal);
      if (running !== this.#running) return;
      this.#part("problem").hidden = true;
      const told = warnings(answer.predictions);
      this.#root.classList.toggle("warned", told.length > 0);
      this.#part("result").replaceChildren(...told, ...this.#draw(answer.predictions, request));
      this.#showTiming(answer);
      this.#code.show(answer.request ?? request);
      this.#scroll(scroll);
    } catch (error) {
      if (running.signal.aborted || running !== this.#running) return;
      if (!(error instanceof Failure)) throw error;
      this.fail(error, () => this.show(request, scroll));
      this.#scroll(scroll);
    } finally {
      if (running === this.#running) this.#root.ariaBusy = "false";
    }
  }

  // Cancels the request that is under way.
  stop() {
    this.#running?.abort();
    this.#running = null;
    clearInterval(this.#countdown);
    this.#root.ariaBusy = "false";
  }

  // Does what must be done before a request can be made; says why where it fails.
  async attempt(action) {
    try {
      await action();
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      this.stop();
      this.fail(error, () => this.attempt(action));
    }
  }

  // Says what went wrong; `again` is offered once it is worth trying.
  fail(failure, again) {
    const problem = this.#part("problem");
    const button = problem.querySelector("button");
    problem.querySelector("p").textContent = failure.message;
    for (const part of ["timing", "code"]) this.#part(part).hidden = true;
    this.#part("result").replaceChildren();
    problem.hidden = false;
    button.hidden = failure.waitS === null;
    button.onclick = again;
    let left = failure.waitS ?? 0;
    const tick = () => {
      button.disabled = left > 0;
      button.textContent = left > 0 ? `Try again in ${left} s` : "Try again";
      if (left-- <= 0) clearInterval(this.#countdown);
    };
    clearInterval(this.#countdown);
    this.#countdown = setInterval(tick, 1000);
    tick();
  }

  // Back to how it was before the first request.
  clear() {
    this.stop();
    for (const part of ["problem", "timing", "code"]) this.#part(part).hidden = true;
    this.#part("result").replaceChildren(element("p", { className: "empty", textContent: "The answer appears here." }));
  }

  #part(name) {
    return this.#root.querySelector(`.${name}`);
  }

  #scroll(block) {
    const stacked = this.#root.getBoundingClientRect().top >= this.#root.previousElementSibling.getBoundingClientRect().bottom;
    if (block && stacked) (block === "nearest" ? this.#part("result") : this.#root).scrollIntoView({ block });
  }

  #showTiming({ stages, totalMs }) {
    const told = stages.reduce((sum, [, ms]) => sum + ms, 0);
    const all = [...stages, ["on the way", Math.max(0, totalMs - told)]];
    const parts = all.map(([, ms]) => {
      const part = element("span");
      part.style.flexGrow = ms;
      return part;
    });
    this.#part("stages").replaceChildren(...parts);
    const lines = all.map(([name, ms]) => element("li", {}, `${name} `, element("b", { textContent: `${ms.toFixed(1)} ms` })));
    lines.push(element("li", { className: "total" }, "in all ", element("b", { textContent: `${totalMs.toFixed(0)} ms` })));
    this.#part("legend").replaceChildren(...lines);
    this.#part("timing").hidden = false;
  }
}

function warnings(predictions) {
  const told = [...new Set(predictions.map((prediction) => prediction.warning).filter(Boolean))];
  return told.map((warning) => element("p", { className: "notice", textContent: sentence(warning) }));
}
