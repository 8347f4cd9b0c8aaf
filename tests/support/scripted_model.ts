/**
 * A language model whose replies a test scripts. No network, no timers.
 *
 * ```ts
 * const model = new ScriptedModel();
 * model.answer(["Hel", "lo"]); // the next reply, all at once
 * model.fail(new AgentError("model_timeout", "…")); // the one after that
 * const call = await model.nextCall(); // a call without a script is controlled by the test
 * call.say("Once upon");
 * call.end();
 * ```
 *
 * An abort rejects the reply with the signal's reason, as the real model does, and sets {@linkcode
 * ScriptedCall.aborted}.
 */

import assert from "node:assert/strict";
import type { AgentError } from "../../supabase/functions/_shared/errors.ts";
import type {
  LanguageModel,
  ModelReply,
  ModelRequest,
  ReplyOptions,
} from "../../supabase/functions/_shared/ports/model.ts";

/** The end of a reply. Defaults: `stop`, the first model of the request, no usage. */
export type ReplyEnd = Partial<ModelReply>;

type Script = (call: ScriptedCall) => void;

export class ScriptedModel implements LanguageModel {
  /** Every call so far, oldest first. */
  readonly calls: ScriptedCall[] = [];
  /** If set, it is called with every call as soon as it is made, and controls it. */
  onCall: ((call: ScriptedCall) => void) | undefined;
  readonly #scripts: Script[] = [];
  readonly #waiting: ((call: ScriptedCall) => void)[] = [];
  #awaited = 0;

  /** The newest call. Fails if there is none. */
  get last(): ScriptedCall {
    const call = this.calls.at(-1);
    assert.ok(call, "the model was not asked");
    return call;
  }

  /** Scripts the next unscripted call: sends `pieces`, one `onText` each, and ends. */
  answer(pieces: readonly string[], end: ReplyEnd = {}): void {
    this.#scripts.push((call) => {
      for (const piece of pieces) call.say(piece);
      call.end(end);
    });
  }

  /** Scripts the next unscripted call: sends `pieces`, then fails. */
  fail(error: AgentError, pieces: readonly string[] = []): void {
    this.#scripts.push((call) => {
      for (const piece of pieces) call.say(piece);
      call.fail(error);
    });
  }

  /** The next call that this method did not return before, in order. Waits until it is made. */
  nextCall(): Promise<ScriptedCall> {
    const made = this.calls[this.#awaited++];
    return made === undefined ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve(made);
  }

  reply(request: ModelRequest, options: ReplyOptions): Promise<ModelReply> {
    const call = new ScriptedCall(request, options);
    this.calls.push(call);
    this.#waiting.shift()?.(call);
    this.onCall?.(call);
    const script = this.#scripts.shift();
    // Never before `reply` has returned: the real model cannot do that either.
    if (script !== undefined) queueMicrotask(() => script(call));
    return call.reply;
  }
}

/** One reply in progress. Everything after its end is ignored. */
export class ScriptedCall {
  readonly request: ModelRequest;
  readonly signal: AbortSignal;
  readonly reply: Promise<ModelReply>;
  readonly #onText: (text: string) => void;
  readonly #onReasoning: ((text: string) => void) | undefined;
  readonly #onRestart: () => void;
  readonly #resolve: (reply: ModelReply) => void;
  readonly #reject: (reason: unknown) => void;
  readonly #onAbort = (): void => this.#settle(() => this.#reject(this.signal.reason));
  #open = true;

  constructor(request: ModelRequest, { onText, onReasoning, onRestart = () => {}, signal }: ReplyOptions) {
    const { promise, resolve, reject } = Promise.withResolvers<ModelReply>();
    this.request = request;
    this.signal = signal;
    this.reply = promise;
    this.#onText = onText;
    this.#onReasoning = onReasoning;
    this.#onRestart = onRestart;
    this.#resolve = resolve;
    this.#reject = reject;
    signal.addEventListener("abort", this.#onAbort);
    if (signal.aborted) this.#onAbort();
  }

  /** Whether the reply has not ended. */
  get open(): boolean {
    return this.#open;
  }

  /** Whether the caller aborted the reply before it ended. */
  get aborted(): boolean {
    return this.#aborted;
  }
  #aborted = false;

  /** Begins a new answer: `partial` and the text so far are void. */
  restart(): void {
    if (this.#open) this.#onRestart();
  }

  /** Passes `text` to `onText`, unless it is empty. */
  say(text: string): void {
    if (this.#open && text !== "") this.#onText(text);
  }

  /** Passes `text` to `onReasoning`. */
  think(text: string): void {
    if (this.#open) this.#onReasoning?.(text);
  }

  end(end: ReplyEnd = {}): void {
    this.#settle(() => this.#resolve({ finishReason: "stop", model: this.request.models[0] ?? "", ...end }));
  }

  /** Sends a last piece and ends. */
  finish(text = "", end: ReplyEnd = {}): void {
    this.say(text);
    this.end(end);
  }

  fail(error: AgentError): void {
    this.#settle(() => this.#reject(error));
  }

  #settle(settle: () => void): void {
    if (!this.#open) return;
    this.#open = false;
    this.#aborted = this.signal.aborted;
    this.signal.removeEventListener("abort", this.#onAbort);
    settle();
  }
}
