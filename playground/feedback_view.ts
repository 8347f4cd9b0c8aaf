/** A person's feedback on an answer: good, bad, or a change to make. */

import type { Feedback } from "../client/mod.ts";
import { button, el, setText, svg } from "./dom.ts";

const THUMB =
  "M7 22H4V11h3m0 11h10.5a2 2 0 0 0 2-1.7l1.2-7A2 2 0 0 0 18.700 11H14l.8-4.500A2.200 2.200 0 0 0 12.600 4L7 11z";
type Given = Pick<Feedback, "verdict" | "rating" | "content">;

export class FeedbackView {
  readonly element: HTMLElement;
  /** The form for the comment of a `modify`. */
  readonly form: HTMLFormElement;
  readonly #send: (given: Given) => Promise<unknown>;
  readonly #said = el("span", { class: "muted", role: "status" });
  readonly #buttons: readonly HTMLButtonElement[];

  constructor(send: (given: Given) => Promise<unknown>) {
    this.#send = send;
    const good = thumb("Good answer", "", () => void this.#give(good, { verdict: "approve", rating: 1 }));
    const bad = thumb(
      "Bad answer",
      "rotate(180 12 12.5)",
      () => void this.#give(bad, { verdict: "reject", rating: -1 }),
    );
    const modify = button(
      "Modify…",
      { class: "small-button", "aria-expanded": "false" },
      () => this.#toggle(),
    );
    this.#buttons = [good, bad, modify];
    const comment = el("input", { type: "text", required: "", maxlength: "2000" });
    this.form = el(
      "form",
      { class: "modify" },
      el("label", {}, "What should be different? The agent reads it with your next question.", comment),
      el("button", { type: "submit" }, "Send comment"),
    );
    this.form.hidden = true;
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#toggle();
      void this.#give(modify, { verdict: "modify", content: comment.value });
    });
    this.element = el(
      "div",
      { class: "feedback", role: "group", "aria-label": "Feedback" },
      ...this.#buttons,
      this.#said,
    );
  }

  #toggle(): void {
    this.form.hidden = !this.form.hidden;
    this.#buttons.at(-1)?.setAttribute("aria-expanded", String(!this.form.hidden));
    if (this.form.hidden) this.#buttons.at(-1)?.focus();
    else this.form.querySelector("input")?.focus();
  }

  async #give(pressed: HTMLButtonElement, given: Given): Promise<void> {
    try {
      await this.#send(given);
      for (const one of this.#buttons) one.setAttribute("aria-pressed", String(one === pressed));
      setText(this.#said, given.verdict === "modify" ? "Noted for your next question" : "Noted");
    } catch (error) {
      setText(this.#said, error instanceof Error ? error.message : String(error));
    }
  }
}

function thumb(words: string, transform: string, act: () => void): HTMLButtonElement {
  const made = button("", {
    class: "small-button",
    "aria-label": words,
    title: words,
    "aria-pressed": "false",
  }, act);
  made.append(
    svg("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, svg("path", { d: THUMB, transform })),
  );
  return made;
}
