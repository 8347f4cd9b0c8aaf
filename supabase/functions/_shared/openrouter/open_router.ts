/** The language model: OpenRouter, or any server that speaks its chat completions. */

import { AgentError } from "../errors.ts";
import type { LanguageModel, ModelReply, ModelRequest, ReplyOptions } from "../ports/model.ts";
import type { Clock, Log } from "../ports/runtime.ts";
import { AttemptFailure, notAStream, statusFailure, unreachable } from "./attempt_failure.ts";
import { readStart } from "./body_reader.ts";
import { type ContinueDeps, continueReply } from "./continuation/continue_reply.ts";
import { PrefillModels, type PromptMessage, wantsPrefix } from "./continuation/ways.ts";
import { describe, mask } from "./mask.ts";
import type { ReadPacer } from "./read_pacer.ts";
import { readReply } from "./reply_stream.ts";
import { completionsUrl, type Endpoint, requestBody, requestHeaders } from "./request.ts";
import { backoffMs, MAX_RETRY_WAIT_MS, parseRetryAfter, pause } from "./retry_after.ts";
import { Watchdog } from "./watchdog.ts";

/** How much of an error's body is read. */
const MAX_ERROR_BYTES = 8192;
/** How long it is waited for: the status alone says what to do. */
const ERROR_WAIT_MS = 1000;

export interface OpenRouterOptions extends Endpoint {
  /** Further attempts after a failure that may pass, as long as no text has been handed on. */
  maxRetries: number;
  /** Longest wait of one attempt for its first text, in milliseconds; comments do not count. 0: no limit. */
  firstTokenTimeoutMs: number;
  /** Longest silence of the provider, in milliseconds, from the request on; comments count. 0: no limit. */
  stallTimeoutMs: number;
  clock: Clock;
  /** From 0 up to 1, as `Math.random`: spreads retries. */
  random(): number;
  fetch: typeof fetch;
  log: Log;
  /** Models that continue a trailing assistant message: names in which `*` stands for anything. Default: none. */
  prefillModels?: readonly string[];
  /** Shared by all streams of the worker; without it each is read as it comes. */
  pacer?: ReadPacer | undefined;
}

/**
 * A {@linkcode LanguageModel} over HTTP. Its replies reject with
 *
 * | code | when | `retryable` |
 * |---|---|---|
 * | `model_rejected` | 400, 404, 413, 422 and other 4xx | no |
 * | `model_unauthorized` | 401, 402 (out of credit), 403 | no |
 * | `model_rate_limited` | 429; with `retryAfterMs` if the provider said | yes |
 * | `model_timeout` | 408, a stall, no first text in time | yes |
 * | `model_unavailable` | 5xx, no connection, an error reported in the stream | yes |
 * | `model_stream_broken` | an end without a finish reason, or something that is no event stream | yes |
 *
 * An error in the stream with a numeric code is treated as that HTTP status.
 */
export function createOpenRouter(options: OpenRouterOptions): LanguageModel {
  return new OpenRouter(options);
}

class OpenRouter implements LanguageModel {
  readonly #options: OpenRouterOptions;
  readonly #url: string;
  readonly #headers: Headers;
  readonly #continuing: ContinueDeps;

  constructor(options: OpenRouterOptions) {
    this.#options = options;
    this.#url = completionsUrl(options);
    this.#headers = requestHeaders(options);
    this.#continuing = {
      prefillModels: new PrefillModels(options.prefillModels ?? []),
      prefix: wantsPrefix(options.baseUrl),
      attempt: (request, messages, asking) => this.#attempt(request, messages, asking),
      retry: (attempt, retrying) => this.#retry(attempt, retrying),
      onFailed: ({ failure, ...fields }) => {
        const { status, detail } = failure ?? {};
        options.log.write({
          level: "info",
          event: "model_continuation_failed",
          ...fields,
          ...(status !== undefined && { status }),
          ...(detail !== undefined && { detail: mask(detail, options.apiKey) }),
        });
      },
    };
  }

  async reply(request: ModelRequest, options: ReplyOptions): Promise<ModelReply> {
    if (request.partial !== "") return await continueReply(request, options, this.#continuing);
    const { onText, signal } = options;
    let begun = false;
    const begin = (text: string): void => {
      begun = true;
      onText(text);
    };
    return await this.#retry(
      () => this.#attempt(request, request.messages, { onText: begin, signal }),
      { hasBegun: () => begun, signal },
    );
  }

  /** Asks again after a failure that may pass, as long as no text was handed on. */
  async #retry(
    ask: () => Promise<ModelReply>,
    { hasBegun, signal }: { hasBegun(): boolean; signal: AbortSignal },
  ): Promise<ModelReply> {
    const { clock, maxRetries, random } = this.#options;
    for (let attempt = 1;; attempt++) {
      signal.throwIfAborted();
      try {
        return await ask();
      } catch (thrown) {
        if (signal.aborted || !(thrown instanceof AttemptFailure)) throw thrown;
        const waitMs = backoffMs(attempt, { random: random(), retryAfterMs: thrown.retryAfterMs });
        const asksAgain = thrown.askAgain && !hasBegun() && attempt <= maxRetries &&
          waitMs <= MAX_RETRY_WAIT_MS;
        const error = this.#report(thrown, { attempt, ...(asksAgain && { retry_in_ms: waitMs }) });
        if (!asksAgain) throw error;
        await pause(waitMs, { clock, signal });
      }
    }
  }

  /** Logs the failure, and puts it as clients may see it. */
  #report(failure: AttemptFailure, fields: Readonly<Record<string, number>>): AgentError {
    const { code, message, retryable, retryAfterMs, status } = failure;
    const detail = mask(failure.detail, this.#options.apiKey);
    const http = status === undefined ? {} : { status };
    this.#options.log.write({
      level: "warn",
      event: "model_attempt_failed",
      code,
      ...http,
      ...fields,
      detail,
    });
    return new AgentError(code, message, {
      retryable,
      ...(retryAfterMs !== undefined && { retryAfterMs }),
      cause: new Error(status === undefined ? detail : `HTTP ${status}: ${detail}`),
    });
  }

  async #attempt(
    request: ModelRequest,
    messages: readonly PromptMessage[],
    { onText, signal }: Pick<ReplyOptions, "onText" | "signal">,
  ): Promise<ModelReply> {
    const { clock, stallTimeoutMs, firstTokenTimeoutMs, pacer } = this.#options;
    // Ends this attempt: with the caller's reason, or with our own impatience.
    const abort = new AbortController();
    const onAbort = (): void => abort.abort(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    const watchdog = new Watchdog({
      clock,
      stallTimeoutMs,
      firstTokenTimeoutMs,
      onTimeout: (error) => abort.abort(error),
    });
    try {
      const body = await this.#ask(requestBody({ ...request, messages }), abort.signal, watchdog);
      const model = request.models[0] ?? "";
      return await readReply(body, { model, onText, clock, watchdog, pacer, abort });
    } catch (thrown) {
      throw abort.signal.aborted ? abort.signal.reason : thrown;
    } finally {
      watchdog.end();
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** Sends the request; answers with the body of a stream. */
  async #ask(
    body: string,
    signal: AbortSignal,
    watchdog: Watchdog,
  ): Promise<ReadableStream<Uint8Array>> {
    const { fetch, clock } = this.#options;
    let response: Response;
    try {
      response = await fetch(this.#url, { method: "POST", headers: this.#headers, body, signal });
    } catch (thrown) {
      throw unreachable(describe(thrown));
    }
    watchdog.heard(clock.now());
    const isStream = /^\s*text\/event-stream\b/i.test(
      response.headers.get("content-type") ?? "text/event-stream",
    );
    if (response.ok && isStream && response.body !== null) return response.body;
    const detail = await readStart(response.body, {
      maxBytes: MAX_ERROR_BYTES,
      waitMs: ERROR_WAIT_MS,
      clock,
    });
    if (response.ok) throw notAStream(detail);
    throw statusFailure(response.status, {
      detail,
      retryAfterMs: parseRetryAfter(response.headers.get("retry-after"), clock),
    });
  }
}
