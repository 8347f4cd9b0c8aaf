/** One row of the list: opens a conversation, renames it, moves it into the archive or back, and deletes it. */

import type { Conversation } from "../client/mod.ts";
import { button, clockTime, el, setText } from "./dom.ts";

export interface RowActions {
  open(): void;
  rename(title: string): void;
  archive(archived: boolean): void;
  delete(): void;
}

export interface RowState {
  isCurrent: boolean;
  mayChange: boolean;
  mayArchive: boolean;
}

export class ConversationRowView {
  readonly element: HTMLElement;
  readonly open: HTMLButtonElement;
  readonly #actions: RowActions;
  readonly #title = el("span", { class: "conversation-title ellipsis" });
  readonly #time = el("time", { class: "muted" });
  readonly #preview = el("span", { class: "conversation-preview ellipsis muted" });
  readonly #more: HTMLButtonElement;
  readonly #tools: HTMLElement;
  readonly #archive: HTMLButtonElement;
  readonly #form = el("form", { class: "rename row" });
  readonly #input = el("input", { type: "text", "aria-label": "New title", maxlength: "200", required: "" });
  #row: Conversation | undefined;

  constructor(actions: RowActions) {
    this.#actions = actions;
    this.open = button("", { class: "conversation-open" }, () => actions.open());
    this.open.append(this.#title, this.#time, this.#preview);
    this.#more = button("⋯", { class: "small-button", "aria-expanded": "false" }, () => this.#toggle());
    const rename = button("Rename", { class: "small-button" }, () => this.#edit());
    this.#archive = button("Archive", { class: "small-button" }, () => actions.archive(!this.#row?.archived));
    this.#tools = el("div", { class: "row wrap" }, rename, this.#archive, this.#deleteButton());
    this.#tools.hidden = true;
    this.#form.append(this.#input, el("button", { type: "submit", class: "small-button" }, "Save"));
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      const title = this.#input.value.trim();
      if (title === "") return;
      actions.rename(title);
      this.#toggle();
    });
    this.element = el("li", { class: "conversation" }, this.open, this.#more, this.#tools);
    this.element.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      if (this.#form.isConnected || !this.#tools.hidden) this.#toggle();
    });
  }

  show(row: Conversation, { isCurrent, mayChange, mayArchive }: RowState): void {
    this.#row = row;
    const title = row.title || "New conversation";
    setText(this.#title, title);
    setText(this.#preview, row.state === "running" ? "Writing…" : row.preview || "No question yet");
    this.#time.dateTime = row.last_activity;
    setText(this.#time, when(row.last_activity));
    this.open.title = title;
    if (isCurrent) this.open.setAttribute("aria-current", "true");
    else this.open.removeAttribute("aria-current");
    this.#more.hidden = !mayChange;
    this.#more.setAttribute("aria-label", `Actions: ${title}`);
    if (!mayChange && (this.#form.isConnected || !this.#tools.hidden)) this.#fold();
    this.#archive.hidden = !mayArchive;
    setText(this.#archive, row.archived ? "Unarchive" : "Archive");
  }

  #toggle(): void {
    const isOpen = this.#tools.hidden && !this.#form.isConnected;
    if (!isOpen) {
      this.#fold();
      return this.#more.focus();
    }
    this.#tools.hidden = false;
    this.#more.setAttribute("aria-expanded", "true");
  }

  #fold(): void {
    this.#form.remove();
    this.#tools.hidden = true;
    this.#more.setAttribute("aria-expanded", "false");
  }

  #edit(): void {
    this.#tools.hidden = true;
    this.element.append(this.#form);
    this.#input.value = this.#row?.title ?? "";
    this.#input.select();
    this.#input.focus();
  }

  /** The first click asks, the second click confirms. */
  #deleteButton(): HTMLButtonElement {
    const made = button("Delete", { class: "small-button danger" }, () => {
      if (made.textContent === "Delete") return setText(made, "Really delete?");
      setText(made, "Delete");
      this.#actions.delete();
    });
    made.addEventListener("blur", () => setText(made, "Delete"));
    return made;
  }
}

/** The time of today, or the date of another day. */
function when(timestamp: string): string {
  const date = new Date(timestamp);
  const isToday = date.toDateString() === new Date().toDateString();
  return isToday
    ? clockTime(timestamp).slice(0, 5)
    : date.toLocaleDateString([], { day: "numeric", month: "short" });
}
