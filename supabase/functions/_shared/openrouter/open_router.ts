/** The language model: OpenRouter, or any server that speaks its chat completions. */

import { AgentError } from "../errors.ts";
import type { LanguageModel, ModelReply, ModelRequest, ReplyOptions } from "../ports/model.ts";
import type { Clock, Log } from "../ports/runtime.ts";
import { dialectOf } from "../model_dialect.ts";
import { RequestAdapter } from "./adapted_request.ts";
import { AttemptFailure, notAStream, statusFailure, unreachable } from "./attempt_failure.ts";
import { readStart } from "./body_reader.ts";
import { askInTurn } from "./fallback_models.ts";
import { describe, mask } from "./mask.ts";
import type { ReadPacer } from "./read_pacer.ts";
import { readReply } from "./reply_stream.ts";
import { completionsUrl, type Endpoint, type RequestFields, requestHeaders } from "./request.ts";
import { backoffMs, MAX_RETRY_WAIT_MS, parseRetryAfter, pause } from "./retry_after.ts";
import { Watchdog } from "./watchdog.ts";

/** How much of an error's body is read. */
const MAX_ERROR_BYTES = 8192;
/** How long it is waited for: the status alone says what to do. */
const ERROR_WAIT_MS = 1000;

export interface OpenRouterOptions extends Endpoint {
  /** Further attempts after a failure that may pass, as long as no text has been handed on. */
  maxRetries: number;
  /** Longest prompt in tokens, by estimate: the oldest exchanges are left out. Default 0: only the provider's own limit. */
  maxPromptTokens?: number | undefined;
  /** Longest wait of one attempt for its first text, in milliseconds; comments do not count. 0: no limit. */
  firstTokenTimeoutMs: number;
  /** Longest silence of the provider, in milliseconds, from the request on; comments count. 0: no limit. */
  stallTimeoutMs: number;
  clock: Clock;
  /** From 0 up to 1, as `Math.random`: spreads retries. */
  random(): number;
  fetch: typeof fetch;
  log: Log;
  /** Shared by all streams of the worker; without it each is read as it comes. */
  pacer?: ReadPacer | undefined;
}

/**
 * A {@linkcode LanguageModel} over HTTP. Its replies reject with
 *
 * | code | when | `retryable` |
 * |---|---|---|
 * | `model_rejected` | 400, 404, 413, 422 and other 4xx | no |
 * | `prompt_too_long` | the question alone is longer than the model takes | no |
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
  readonly #adapter: RequestAdapter;

  constructor(options: OpenRouterOptions) {
    const { apiKey, log, maxPromptTokens = 0 } = options;
    const dialect = dialectOf(options.baseUrl, options.dialect);
    this.#options = options;
    this.#url = completionsUrl(options);
    this.#headers = requestHeaders(options, dialect);
    this.#adapter = new RequestAdapter({ dialect, maxPromptTokens, apiKey, log });
  }

  async reply(request: ModelRequest, { onText, signal }: ReplyOptions): Promise<ModelReply> {
    const { clock, maxRetries, random } = this.#options;
    let begun = false;
    const begin = (text: string): void => {
      begun = true;
      onText(text);
    };
    const requests = this.#adapter.adapt(request);
    for (let attempt = 1;; attempt++) {
      try {
        return await askInTurn(requests, {
          attempt: (adapted, fields) => {
            signal.throwIfAborted();
            return this.#attempt(adapted, fields, { onText: begin, signal });
          },
          hasBegun: () => begun,
          onFailure: (failure) => void this.#report(failure, { attempt }),
        });
      } catch (thrown) {
        if (signal.aborted || !(thrown instanceof AttemptFailure)) throw thrown;
        const waitMs = backoffMs(attempt, { random: random(), retryAfterMs: thrown.retryAfterMs });
        const asksAgain = thrown.askAgain && !begun && attempt <= maxRetries && waitMs <= MAX_RETRY_WAIT_MS;
        const error = this.#report(thrown, { attempt, ...(asksAgain && { retry_in_ms: waitMs }) });
        if (!asksAgain) throw error;
        await pause(waitMs, { clock, signal });
      }
    }
  }

  /** Logs the failure, and puts it as clients may see it. */
  #report(failure: AttemptFailure, fields: Readonly<Record<string, number>>): AgentError {
    const { code, message, retryable, retryAfterMs, status, model } = failure;
    const detail = mask(failure.detail, this.#options.apiKey);
    const http = status === undefined ? {} : { status };
    this.#options.log.write({
      level: "warn",
      event: "model_attempt_failed",
      ...(model !== undefined && { model }),
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
    fields: RequestFields,
    { onText, signal }: ReplyOptions,
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
      const body = await this.#ask(fields, abort.signal, watchdog);
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
    fields: RequestFields,
    signal: AbortSignal,
    watchdog: Watchdog,
  ): Promise<ReadableStream<Uint8Array>> {
    const { fetch, clock } = this.#options;
    const body = JSON.stringify(fields);
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
