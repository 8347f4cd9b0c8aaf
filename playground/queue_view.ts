/** The running and waiting queries, with buttons to cancel them. */

import type { AgentClient, Turn } from "../client/mod.ts";
import type { Composer } from "./composer.ts";
import { button, el, find, setText } from "./dom.ts";

const LANES = ["high", "normal", "low"];

export class QueueView {
  readonly #list = find("queue", HTMLElement);
  readonly #cancelAll = find("cancel-all", HTMLButtonElement);
  readonly #client: () => AgentClient;
  readonly #composer: Composer;
  /** The shown content as one string: without a change, the elements stay and keep the focus. */
  #shown = "";

  constructor(client: () => AgentClient, composer: Composer) {
    this.#client = client;
    this.#composer = composer;
    this.#cancelAll.addEventListener("click", () => {
      for (const turn of this.#open()) turn.cancel();
    });
  }

  draw(): void {
    const open = this.#open();
    const shown = JSON.stringify(open.map(({ id, state, question }) => [id, state, question]));
    if (shown === this.#shown) return;
    this.#shown = shown;
    const focused = [...this.#list.querySelectorAll("button")].indexOf(
      document.activeElement as HTMLButtonElement,
    );
    this.#list.replaceChildren(...open.map((turn) => this.#row(turn)));
    // Keep the focus, so that a user can cancel one query after the other.
    if (focused >= 0) {
      const buttons = [...this.#list.querySelectorAll("button")];
      (buttons[focused] ?? buttons.at(-1) ?? find("question", HTMLElement)).focus();
    }
    const waiting = open.filter(({ state }) => state !== "running").length;
    const chip = find("queue-chip", HTMLElement);
    setText(chip, open.length === 0 ? "empty" : `${open.length - waiting} running, ${waiting} waiting`);
    chip.dataset.tone = open.length === 0 ? "" : "busy";
    find("queue-empty", HTMLElement).hidden = open.length > 0;
    this.#cancelAll.hidden = open.length < 2;
  }

  /** The running turn, then the waiting turns by lane. */
  #open(): Turn[] {
    const place = (turn: Turn): number =>
      turn.state === "running" ? -1 : LANES.indexOf(this.#composer.laneOf(turn) ?? "normal");
    return this.#client().turns
      .filter(({ state }) => state === "waiting" || state === "queued" || state === "running")
      .toSorted((a, b) => place(a) - place(b));
  }

  #row(turn: Turn): HTMLElement {
    const { state, question = "…" } = turn;
    const lane = this.#composer.laneOf(turn);
    return el(
      "li",
      { "data-state": state },
      el(
        "span",
        { class: "chip", "data-tone": state === "running" ? "good" : "busy" },
        state === "running" ? "running" : lane ?? "waiting",
      ),
      el("span", { class: "ellipsis", title: question }, question),
      button("Cancel", { class: "small-button", "aria-label": `Cancel: ${question}` }, () => turn.cancel()),
    );
  }
}
