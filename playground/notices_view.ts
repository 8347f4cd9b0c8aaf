/** Messages that other functions push into the session: shown for a moment, and kept in a list. */

import type { NotificationFrame, StatusFrame } from "../client/mod.ts";
import { announce } from "./announcer.ts";
import { button, clockTime, el, find, setText } from "./dom.ts";

const TOAST_MS = 8000;
const MAX_TOASTS = 3;
const MAX_KEPT = 100;

export class NoticesView {
  readonly #list = find("notices", HTMLElement);
  readonly #toasts = find("toasts", HTMLElement);
  readonly #chip = find("notices-chip", HTMLElement);
  #count = 0;

  reset(): void {
    this.#list.replaceChildren();
    this.#toasts.replaceChildren();
    this.#count = 0;
    this.#drawCount();
  }

  /** `isNews`: it did not arrive in the replay after a reload. */
  add(frame: NotificationFrame | StatusFrame, isNews: boolean): void {
    const { content, timestamp, seq, source, code } = frame;
    // A stored message has a place in the log; another one is lost once it is gone.
    const kept = el(
      "span",
      { class: "chip", ...(seq !== undefined && { "data-tone": "good" }) },
      seq === undefined ? "live only" : `kept, no. ${seq}`,
    );
    const words = [clockTime(timestamp), source && `from ${source}`, code].filter(Boolean).join(" · ");
    const item = el(
      "li",
      {},
      el("p", {}, content),
      el("p", { class: "row small muted" }, el("span", { class: "ellipsis" }, words), kept),
    );
    this.#list.prepend(item);
    while (this.#list.children.length > MAX_KEPT) this.#list.lastElementChild?.remove();
    this.#count++;
    this.#drawCount();
    if (isNews) this.toast(content, "Notification");
  }

  /** Shows a message for a moment. */
  toast(words: string, title: string): void {
    const toast = el("div", { class: "toast" }, el("div", {}, el("b", {}, title), el("p", {}, words)));
    toast.append(button("Dismiss", { class: "small-button" }, () => toast.remove()));
    this.#toasts.append(toast);
    while (this.#toasts.children.length > MAX_TOASTS) this.#toasts.firstElementChild?.remove();
    // Do not remove it while the user reads it.
    const fade = (): void => {
      if (toast.matches(":hover, :focus-within")) setTimeout(fade, TOAST_MS);
      else toast.remove();
    };
    setTimeout(fade, TOAST_MS);
    announce(`${title}: ${words}`);
  }

  #drawCount(): void {
    setText(this.#chip, String(this.#count));
    this.#chip.dataset.tone = this.#count > 0 ? "good" : "";
  }
}
