/** A question, and the form in which it is edited. */

import { button, el } from "./dom.ts";

export class QuestionView {
  readonly #bubble = el("div", { class: "question" });
  readonly #edit = button("Edit", { class: "small-button quiet" }, () => this.#toggle(true));
  readonly #text = el("textarea", { rows: "2", required: "" });
  readonly #form = el(
    "form",
    { class: "edit" },
    el("label", {}, "Edit the question. What came after it is replaced.", this.#text),
    el(
      "div",
      { class: "row" },
      el("button", { type: "submit", class: "primary" }, "Replace"),
      button("Discard", {}, () => this.#toggle(false)),
    ),
  );
  readonly element: HTMLElement = el("div", { class: "asked" }, this.#bubble, this.#edit);
  #question = "";

  /** `replace` asks the edited question instead. */
  constructor(replace: (question: string) => void) {
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      const edited = this.#text.value.trim();
      if (edited === "") return;
      this.#toggle(false);
      replace(edited);
    });
    this.#form.addEventListener("keydown", (event) => {
      // In the conversation around it, Escape stops the running answer.
      event.stopPropagation();
      if (event.key === "Escape") this.#toggle(false);
      if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.target !== this.#text) return;
      event.preventDefault();
      this.#form.requestSubmit();
    });
  }

  show(question: string | undefined, isFromElsewhere: boolean): void {
    const words = question ?? "…";
    if (words === this.#question) return;
    this.#question = words;
    this.#bubble.replaceChildren(
      words,
      ...(isFromElsewhere ? [el("span", { class: "muted" }, "from another tab")] : []),
    );
    this.#edit.hidden = question === undefined;
    this.#edit.setAttribute("aria-label", `Edit: ${words}`);
  }

  #toggle(isEditing: boolean): void {
    this.#bubble.hidden = this.#edit.hidden = isEditing;
    if (!isEditing) {
      this.#form.remove();
      return this.#edit.focus();
    }
    this.element.append(this.#form);
    this.#text.value = this.#question;
    this.#text.focus();
  }
}
