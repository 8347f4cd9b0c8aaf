/** A {@linkcode LanguageModel} that says what the test tells it to, when it tells it. */

import assert from "node:assert/strict";
import type { AgentError } from "../../supabase/functions/_shared/errors.ts";
import type {
  LanguageModel,
  ModelReply,
  ModelRequest,
  ReplyOptions,
} from "../../supabase/functions/_shared/ports.ts";

/** One reply that was asked for, worked by hand. */
export class ScriptedCall {
  readonly request: ModelRequest;
  readonly signal: AbortSignal;
  readonly #options: ReplyOptions;
  readonly #outcome = Promise.withResolvers<ModelReply>();

  constructor(request: ModelRequest, options: ReplyOptions) {
    this.request = request;
    this.signal = options.signal;
    this.#options = options;
    options.signal.addEventListener("abort", () => this.#outcome.reject(options.signal.reason), {
      once: true,
    });
    if (options.signal.aborted) this.#outcome.reject(options.signal.reason);
  }

  get outcome(): Promise<ModelReply> {
    return this.#outcome.promise;
  }

  /** Streams a piece of text. After an abort it goes nowhere. */
  text(text: string): void {
    if (text !== "" && !this.signal.aborted) this.#options.onText(text);
  }

  /** Ends the reply, with a last piece of text if one is given. */
  finish(text = "", reply: Partial<ModelReply> = {}): void {
    this.text(text);
    this.#outcome.resolve({ finishReason: "stop", model: this.request.models[0] ?? "", ...reply });
  }

  fail(error: AgentError): void {
    this.#outcome.reject(error);
  }
}

export class ScriptedModel implements LanguageModel {
  /** Every reply that was asked for, oldest first. */
  readonly calls: ScriptedCall[] = [];
  /** Set, it answers every call at once; otherwise calls wait for the test. */
  onCall: ((call: ScriptedCall) => void) | undefined;

  async reply(request: ModelRequest, options: ReplyOptions): Promise<ModelReply> {
    const call = new ScriptedCall(request, options);
    this.calls.push(call);
    this.onCall?.(call);
    return await call.outcome;
  }

  /** The reply asked for last. */
  get last(): ScriptedCall {
    const call = this.calls.at(-1);
    assert.ok(call, "the model was not asked");
    return call;
  }
}
