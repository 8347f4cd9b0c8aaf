/** A line below an answer that shows where it was cut and continued. */

import { el, setText } from "./dom.ts";

export class Seam {
  readonly element: HTMLElement = el("p", { class: "seam", "data-open": "" });
  readonly #at: number;
  readonly #since = Date.now();
  /** How long the connection was lost; undefined until it is back. */
  #tookMs: number | undefined;
  #isCaughtUp = false;

  /** `at`: the number of characters received before the cut. */
  constructor(at: number) {
    this.#at = at;
    setText(this.element, `Cut at character ${at}: the agent writes on, nobody listens`);
  }

  /** Whether the connection is still lost. */
  get isOpen(): boolean {
    return this.#tookMs === undefined;
  }

  mend(): void {
    if (!this.isOpen) return;
    this.#tookMs = Date.now() - this.#since;
    delete this.element.dataset.open;
    this.#say(this.#at);
  }

  /** The first text after the cut shows how much was written in the meantime. */
  textHas(chars: number): void {
    if (this.isOpen || this.#isCaughtUp || chars <= this.#at) return;
    this.#isCaughtUp = true;
    this.#say(chars);
  }

  #say(chars: number): void {
    const seconds = ((this.#tookMs ?? 0) / 1000).toFixed(1);
    const caughtUp = chars > this.#at ? `, ${chars - this.#at} characters caught up` : "";
    setText(this.element, `Cut at character ${this.#at}, back after ${seconds} s${caughtUp}: none missing`);
  }
}
