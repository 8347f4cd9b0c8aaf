/** Where an answer was cut and went on: a line that says so under it. */

import { el, setText } from "./dom.ts";

export class Seam {
  readonly element: HTMLElement = el("p", { class: "seam", "data-open": "" });
  readonly #at: number;
  readonly #since = Date.now();
  /** How long it took, once the connection is back. */
  #tookMs: number | undefined;
  #isCaughtUp = false;

  /** `at`: characters that had come. */
  constructor(at: number) {
    this.#at = at;
    setText(this.element, `Cut at character ${at}: the agent writes on, nobody listens`);
  }

  /** Whether the connection is still away. */
  get isOpen(): boolean {
    return this.#tookMs === undefined;
  }

  mend(): void {
    if (!this.isOpen) return;
    this.#tookMs = Date.now() - this.#since;
    delete this.element.dataset.open;
    this.#say(this.#at);
  }

  /** The first text after the cut says what was written meanwhile. */
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
