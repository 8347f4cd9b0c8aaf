/** The input for questions. */

import type { AgentClient, AskOptions, Turn } from "../client/mod.ts";
import { find } from "./dom.ts";

type Priority = NonNullable<AskOptions["priority"]>;

const PRIORITIES: readonly Priority[] = ["high", "normal", "low"];
const POLICIES: readonly NonNullable<AskOptions["policy"]>[] = ["queue", "interrupt", "latest", "reject"];

export class Composer {
  readonly #question = find("question", HTMLTextAreaElement);
  readonly #stop = find("stop", HTMLButtonElement);
  readonly #client: () => AgentClient;
  readonly #mayAsk: () => boolean;
  /** The lanes of the questions asked here: turns do not contain them. */
  readonly #lanes = new WeakMap<Turn, Priority>();

  constructor(client: () => AgentClient, mayAsk: () => boolean) {
    this.#client = client;
    this.#mayAsk = mayAsk;
    const form = find("composer", HTMLFormElement);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.ask(this.#question.value);
    });
    this.#question.addEventListener("keydown", (event) => {
      // Ignore the Enter that ends the composition of a character.
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        form.requestSubmit();
      }
    });
    this.#stop.addEventListener("click", () => this.#stopRunning());
    for (const element of [form, find("log", HTMLElement)]) {
      element.addEventListener("keydown", ({ key }) => {
        if (key === "Escape") this.#stopRunning();
      });
    }
  }

  ask(question: string): void {
    if (question.trim() === "") return this.#question.focus();
    if (!this.#mayAsk()) return;
    const chosen = find("priority", HTMLSelectElement).value;
    const priority = PRIORITIES.find((one) => one === chosen) ?? "normal";
    const policy = POLICIES.find((one) => one === find("policy", HTMLSelectElement).value) ?? "queue";
    const turn = this.#client().query(question, { priority, policy });
    this.#lanes.set(turn, priority);
    this.#question.value = "";
    this.#question.focus();
  }

  /** Asks a question in the place of an earlier one. What was typed for the next question stays. */
  replace({ id }: Turn, question: string): void {
    if (!this.#mayAsk()) return;
    this.#client().query(question, { replaces: id });
    this.#question.focus();
  }

  /** Undefined for a question that was asked elsewhere. */
  laneOf(turn: Turn): Priority | undefined {
    return this.#lanes.get(turn);
  }

  draw(): void {
    this.#stop.disabled = this.#running() === undefined;
  }

  #running(): Turn | undefined {
    return this.#client().turns.find(({ state }) => state === "running");
  }

  #stopRunning(): void {
    this.#running()?.cancel();
  }
}
