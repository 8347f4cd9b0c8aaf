/** What the model thinks about one question: open while it thinks, folded when its answer begins. */

import { el, setText } from "./dom.ts";

export class ReasoningView {
  readonly #summary = el("summary");
  readonly #text = el("p", { class: "reasoning-text" });
  readonly element: HTMLDetailsElement = el(
    "details",
    { class: "reasoning", hidden: "" },
    this.#summary,
    this.#text,
  );
  /** Once the user has opened or folded it, it stays so. */
  #isTouched = false;

  constructor() {
    // The keyboard causes a click, too.
    this.#summary.addEventListener("click", () => this.#isTouched = true);
  }

  /** `isThinking`: the model has not begun its answer. */
  show(reasoning: string, isThinking: boolean): void {
    this.element.hidden = reasoning === "";
    if (!this.#isTouched) this.element.open = isThinking;
    setText(this.#summary, isThinking ? "Thinking…" : "Reasoning");
    setText(this.#text, reasoning);
  }
}
