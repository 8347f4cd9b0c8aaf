/**
 * A language model whose replies a test scripts. No network, no timers.
 *
 * ```ts
 * const model = new ScriptedModel();
 * model.answer(["Hel", "lo"]); // the next reply, all at once
 * model.answer([], { calls: [{ id: "c1", name: "find_orders", arguments: "{}" }] }); // one that calls a tool
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
import type { Attempt, AttemptEnd } from "../../supabase/functions/_shared/ports/attempt.ts";
import type {
  LanguageModel,
  ModelReply,
  ModelRequest,
  ReplyOptions,
} from "../../supabase/functions/_shared/ports/model.ts";

/** The end of a reply. Defaults: `stop` (`tool_calls` with calls), the first model of the request, no usage. */
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
    const messages = [...request.messages, { content: request.partial }];
    const attempt = options.meter?.begin({ ...request, messages });
    if (attempt instanceof Promise) {
      return attempt.then((granted) => {
        if (options.signal.aborted) granted.end({ how: "unsent" });
        options.signal.throwIfAborted();
        return this.#call(request, options, granted);
      });
    }
    return this.#call(request, options, attempt);
  }

  #call(request: ModelRequest, options: ReplyOptions, attempt: Attempt | undefined): Promise<ModelReply> {
    const call = new ScriptedCall(
      attempt === undefined ? request : { ...request, maxTokens: attempt.maxTokens },
      options,
      attempt,
    );
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
  readonly #attempt: Attempt | undefined;
  readonly #resolve: (reply: ModelReply) => void;
  readonly #reject: (reason: unknown) => void;
  readonly #onAbort = (): void => this.#settle({ how: "aborted" }, () => this.#reject(this.signal.reason));
  #open = true;
  /** The provider's id of the request, if it gives one. */
  generationId: string | undefined;

  constructor(
    request: ModelRequest,
    { onText, onReasoning, onRestart = () => {}, signal }: ReplyOptions,
    attempt?: Attempt,
  ) {
    const { promise, resolve, reject } = Promise.withResolvers<ModelReply>();
    this.request = request;
    this.signal = signal;
    this.reply = promise;
    this.#onText = onText;
    this.#onReasoning = onReasoning;
    this.#onRestart = onRestart;
    this.#attempt = attempt;
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
    if (!this.#open || text === "") return;
    this.#attempt?.said(text);
    this.#onText(text);
  }

  /** Passes `text` to `onReasoning`. */
  think(text: string): void {
    if (!this.#open) return;
    this.#attempt?.thought(text);
    this.#onReasoning?.(text);
  }

  end({ finishReason, model = this.request.models[0] ?? "", ...optional }: ReplyEnd = {}): void {
    if (!this.#open) return;
    const { usage, calls = [] } = optional;
    finishReason ??= calls.length > 0 ? "tool_calls" : "stop";
    for (const { name, arguments: input } of calls) this.#attempt?.said(name + input);
    const reply = { finishReason, model, ...optional };
    this.#settle({ how: "completed", model, ...(usage && { usage }) }, () => this.#resolve(reply));
  }

  /** Sends a last piece and ends. */
  finish(text = "", end: ReplyEnd = {}): void {
    this.say(text);
    this.end(end);
  }

  fail(error: AgentError): void {
    this.#settle({ how: "failed" }, () => this.#reject(error));
  }

  #settle(end: AttemptEnd, settle: () => void): void {
    if (!this.#open) return;
    this.#open = false;
    this.#aborted = this.signal.aborted;
    this.signal.removeEventListener("abort", this.#onAbort);
    // Not before the one who has aborted it is done, as with the real model.
    const { generationId } = this;
    queueMicrotask(() => this.#attempt?.end({ ...end, ...(generationId !== undefined && { generationId }) }));
    settle();
  }
}
