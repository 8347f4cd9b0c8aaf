/** One question with its answer. */

import type { AgentClientError, Answer, Feedback, ToolCall, Turn } from "../client/tools.ts";
import { announce } from "./announcer.ts";
import { CallView, type Decision } from "./call_view.ts";
import { button, el, setText } from "./dom.ts";
import { FeedbackView } from "./feedback_view.ts";
import { MarkdownView } from "./markdown_view.ts";
import { QuestionView } from "./question_view.ts";
import { ReasoningView } from "./reasoning_view.ts";
import { Seam } from "./seam.ts";

/** The text and the colour of each state's label. */
const STATES: Readonly<Record<Turn["state"], readonly [words: string, tone: string]>> = {
  waiting: ["sending", "busy"],
  queued: ["waiting", "busy"],
  running: ["writing", "busy"],
  completed: ["done", "good"],
  cancelled: ["cancelled", "warn"],
  failed: ["failed", "bad"],
};

export interface TurnViewOptions {
  turn: Turn;
  /** Another tab has asked it just now. */
  isFromElsewhere: boolean;
  /** It was asked and answered before this page was loaded: do not announce it. */
  isHistory: boolean;
  /** The tool calls of the turn. */
  calls(): readonly ToolCall[];
  /** Decides about a call that waits for approval. Rejects if the decision does not count. */
  decide(approvalId: string, decision: Decision): Promise<void>;
  feedback(feedback: Feedback): Promise<unknown>;
  /** Asks another question, or the same once more, in the place of this one. */
  replace(question: string): void;
  /** It has ended, and has to be drawn. */
  onChange(): void;
}

export class TurnView {
  readonly element: HTMLElement;
  readonly #options: TurnViewOptions;
  readonly #question: QuestionView;
  readonly #chip = el("span", { class: "chip" });
  readonly #reasoning = new ReasoningView();
  readonly #text = new MarkdownView();
  readonly #callList = el("div", { class: "calls" });
  readonly #calls = new Map<string, CallView>();
  readonly #seams = el("div", { class: "seams" });
  readonly #problem = el("p", { class: "problem" });
  readonly #figures = el("span", { class: "muted" });
  readonly #feedback: FeedbackView;
  readonly #cancel: HTMLButtonElement;
  readonly #regenerate: HTMLButtonElement;
  readonly #since = performance.now();
  #seam: Seam | undefined;

  constructor(options: TurnViewOptions) {
    this.#options = options;
    const { turn } = options;
    this.#feedback = new FeedbackView((given) =>
      options.feedback({ ...given, ...(turn.turnId !== undefined && { turn_id: turn.turnId }) })
    );
    this.#question = new QuestionView(options.replace);
    this.#regenerate = button(
      "Regenerate",
      { class: "small-button", title: "Asks again. What came after it is replaced, too" },
      () => options.replace(turn.question ?? ""),
    );
    this.#cancel = button("Cancel", { class: "small-button" }, () => turn.cancel());
    this.element = el(
      "article",
      { class: "turn", "aria-label": "Question and answer" },
      this.#question.element,
      el(
        "div",
        { class: "answer" },
        el("div", { class: "answer-head" }, el("b", {}, "Agent"), this.#chip),
        this.#reasoning.element,
        this.#text.element,
        this.#callList,
        this.#seams,
        this.#problem,
        el(
          "div",
          { class: "answer-foot" },
          this.#regenerate,
          this.#feedback.element,
          this.#cancel,
          this.#figures,
        ),
        this.#feedback.form,
      ),
    );
    turn.final.then((answer) => this.#ended(answer), (error: AgentClientError) => this.#failed(error));
    this.update();
  }

  /** The turn has changed. {@linkcode TurnView.draw} shows it. */
  update(): void {
    const { turn, isHistory } = this.#options;
    if (turn.text !== "" && this.element.dataset.firstWordMs === undefined && !isHistory) {
      this.element.dataset.firstWordMs = String(Math.round(performance.now() - this.#since));
    }
    this.#seam?.textHas(turn.text.length);
  }

  /** The connection was lost while the answer is being written. */
  cut(): void {
    if (this.#seam?.isOpen || this.#options.turn.state !== "running") return;
    const seam = this.#seam = new Seam(this.#options.turn.text.length);
    this.#seams.append(seam.element);
  }

  /** The connection is back. */
  mend(): void {
    this.#seam?.mend();
  }

  draw(): void {
    const { turn, isFromElsewhere } = this.#options;
    const { state, text, question } = turn;
    const [words, tone] = STATES[state];
    const isOpen = state === "waiting" || state === "queued" || state === "running";
    this.element.dataset.state = state;
    this.element.setAttribute("aria-busy", String(isOpen));
    this.#question.show(question, isFromElsewhere);
    setText(this.#chip, words);
    this.#chip.dataset.tone = tone;
    this.#reasoning.show(turn.reasoning, isOpen && text === "");
    this.#text.show(text);
    this.#drawCalls();
    this.#cancel.hidden = !isOpen;
    this.#cancel.setAttribute("aria-label", `Cancel: ${question ?? "this answer"}`);
    this.#regenerate.hidden = isOpen || question === undefined;
    this.#regenerate.setAttribute("aria-label", `Regenerate the answer: ${question ?? ""}`);
    this.#feedback.element.hidden = isOpen || turn.turnId === undefined;
  }

  #drawCalls(): void {
    const { calls, decide, isHistory } = this.#options;
    for (const call of calls()) {
      let view = this.#calls.get(call.callId);
      if (view === undefined) {
        view = new CallView((decision) => decide(call.callId, decision));
        this.#calls.set(call.callId, view);
        this.#callList.append(view.element);
      }
      const isNews = view.show(call);
      if (isNews && !isHistory) announce(`The agent waits for your approval of ${call.name}`);
    }
  }

  #ended({ text, outcome, finishReason, usage, model }: Answer): void {
    const { firstWordMs } = this.element.dataset;
    const figures = [
      outcome === "cancelled" ? finishReason : model,
      usage && `${usage.completion_tokens} tokens`,
      usage?.cost !== undefined && `$${usage.cost.toFixed(6)}`,
      firstWordMs !== undefined && `first word ${firstWordMs} ms`,
    ];
    setText(this.#figures, figures.filter(Boolean).join(" · "));
    if (!this.#options.isHistory && !this.#options.turn.isSuperseded) {
      announce(outcome === "completed" ? `Answer: ${text}` : "Answer cancelled");
    }
    this.#options.onChange();
  }

  #failed({ code, message }: AgentClientError): void {
    setText(this.#problem, `${message} (${code})`);
    if (!this.#options.isHistory) announce(message);
    this.#options.onChange();
  }
}
