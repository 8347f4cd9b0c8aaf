/** What the model thinks about one question: folded, until the reader opens it. */

import { el, setText } from "./dom.ts";

export class ReasoningView {
  readonly #summary = el("summary");
  readonly #text = el("p", { class: "reasoning-text" });
  readonly element: HTMLElement = el(
    "details",
    { class: "reasoning", hidden: "" },
    this.#summary,
    this.#text,
  );

  /** `isThinking`: the model has not begun its answer. */
  show(reasoning: string, isThinking: boolean): void {
    this.element.hidden = reasoning === "";
    setText(this.#summary, isThinking ? "Thinking…" : "Reasoning");
    setText(this.#text, reasoning);
  }
}
