/** One tool call: what it was called with, what came of it, and the decision about it. Its texts come from elsewhere: never markup. */

import type { ToolCall } from "../client/tools.ts";
import { button, el, setText } from "./dom.ts";

/** What the user has decided about a call. */
export type Decision =
  | { verdict: "approve" }
  | { verdict: "reject"; comment: string }
  | { verdict: "modify"; input: unknown };

/** The text and the colour of each state's label. */
const STATES: Readonly<Record<ToolCall["state"], readonly [words: string, tone: string]>> = {
  pending: ["waiting to run", "busy"],
  approval: ["waits for your approval", "busy"],
  client: ["waits for an app that has this tool", "busy"],
  approved: ["approved", "busy"],
  running: ["running", "busy"],
  done: ["done", "good"],
  failed: ["failed", "bad"],
  unknown: ["result unknown", "bad"],
  rejected: ["rejected", "warn"],
  expired: ["nobody decided in time", "warn"],
  ended: ["not run", "warn"],
};

export class CallView {
  readonly element: HTMLElement;
  readonly #decide: (decision: Decision) => Promise<void>;
  readonly #name = el("b");
  readonly #chip = el("span", { class: "chip" });
  readonly #until = el("span", { class: "muted" });
  // It can be scrolled, so it can have the focus.
  readonly #input = el("pre", { tabindex: "0", role: "group", "aria-label": "Input" });
  readonly #output = el("pre", { tabindex: "0", role: "group", "aria-label": "Result" });
  readonly #comment = el("input", { type: "text", maxlength: "2000" });
  readonly #edited = el("textarea", { spellcheck: "false" });
  readonly #buttons: readonly HTMLButtonElement[];
  readonly #form: HTMLFormElement;
  readonly #problem = el("p", { class: "problem", role: "alert" });
  #shown: ToolCall | undefined;

  constructor(decide: (decision: Decision) => Promise<void>) {
    this.#decide = decide;
    this.#buttons = [
      button("Approve", { class: "small-button" }, () => void this.#approve()),
      button(
        "Reject",
        { class: "small-button" },
        () => void this.#send({ verdict: "reject", comment: this.#comment.value.trim() }),
      ),
    ];
    this.#form = el(
      "form",
      {},
      el("label", {}, "Input (JSON): change it, and approve the change", this.#edited),
      el("label", {}, "If you reject it: what the agent should know", this.#comment),
      el("div", { class: "row wrap" }, ...this.#buttons),
    );
    this.#form.addEventListener("submit", (event) => event.preventDefault());
    this.element = el(
      "section",
      { class: "call" },
      el("div", { class: "call-head" }, this.#name, this.#chip, this.#until),
      this.#input,
      this.#form,
      this.#problem,
      this.#output,
    );
  }

  /** Returns whether the call now waits for approval and has not done so before. */
  show(call: ToolCall): boolean {
    if (call === this.#shown) return false;
    const { name, state, input, output, decision, expiresAt } = call;
    const isWaiting = state === "approval";
    const isNews = isWaiting && this.#shown?.state !== "approval";
    this.#shown = call;
    const [words, tone] = STATES[state];
    this.element.dataset.state = state;
    this.element.setAttribute("aria-label", `Tool call ${name}`);
    setText(this.#name, name);
    setText(this.#chip, words);
    this.#chip.dataset.tone = tone;
    const hasDeadline = expiresAt !== undefined && (isWaiting || state === "client");
    setText(
      this.#until,
      hasDeadline ? `until ${new Date(expiresAt).toLocaleString()}` : decision?.comment ?? "",
    );
    const json = JSON.stringify(input, null, 2);
    setText(this.#input, json);
    this.#input.hidden = isWaiting;
    this.#form.hidden = !isWaiting;
    // Not over what the user has typed.
    if (isNews) this.#edited.value = json;
    if (!isWaiting) setText(this.#problem, "");
    setText(this.#output, output ?? "");
    this.#output.hidden = output === undefined;
    return isNews;
  }

  async #approve(): Promise<void> {
    const text = this.#edited.value;
    if (text === JSON.stringify(this.#shown?.input, null, 2)) return await this.#send({ verdict: "approve" });
    let input: unknown;
    try {
      input = JSON.parse(text);
    } catch (error) {
      setText(this.#problem, `The input is not JSON: ${error instanceof Error ? error.message : error}`);
      return this.#edited.focus();
    }
    await this.#send({ verdict: "modify", input });
  }

  async #send(decision: Decision): Promise<void> {
    setText(this.#problem, "");
    for (const one of this.#buttons) one.disabled = true;
    try {
      await this.#decide(decision);
    } catch (error) {
      setText(this.#problem, error instanceof Error ? error.message : String(error));
    } finally {
      for (const one of this.#buttons) one.disabled = false;
    }
  }
}
