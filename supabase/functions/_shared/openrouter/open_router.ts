/** The language model: OpenRouter, or any server that speaks its chat completions. */

import { AgentError } from "../errors.ts";
import type { LanguageModel, ModelReply, ModelRequest, ReplyOptions } from "../ports/model.ts";
import type { Clock, Log } from "../ports/runtime.ts";
import { AttemptFailure, notAStream, statusFailure, unreachable } from "./attempt_failure.ts";
import { readStart } from "./body_reader.ts";
import { describe, mask } from "./mask.ts";
import { meterAttempt, type Sighting } from "./metered_attempt.ts";
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

interface AttemptOptions extends Pick<ReplyOptions, "onText" | "signal"> {
  sighting: Sighting;
  /** Called when the provider has begun to answer. */
  onReached(): void;
}

class OpenRouter implements LanguageModel {
  readonly #options: OpenRouterOptions;
  readonly #url: string;
  readonly #headers: Headers;

  constructor(options: OpenRouterOptions) {
    this.#options = options;
    this.#url = completionsUrl(options);
    this.#headers = requestHeaders(options);
  }

  async reply(request: ModelRequest, { onText, signal, meter }: ReplyOptions): Promise<ModelReply> {
    const { clock, maxRetries, random } = this.#options;
    let begun = false;
    const begin = (text: string): void => {
      begun = true;
      onText(text);
    };
    for (let attempt = 1;; attempt++) {
      signal.throwIfAborted();
      try {
        const opening = meter?.begin(request);
        const metered = opening instanceof Promise ? await opening : opening;
        const { maxTokens } = metered ?? request;
        const said = metered === undefined ? begin : (text: string): void => {
          metered.said(text);
          begin(text);
        };
        return await meterAttempt(
          metered,
          signal,
          (sighting) =>
            this.#attempt({ ...request, maxTokens }, {
              onText: said,
              signal,
              sighting,
              onReached: () => metered?.reached(sighting.generationId),
            }),
        );
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

  async #attempt(request: ModelRequest, options: AttemptOptions): Promise<ModelReply> {
    const { onText, signal, sighting, onReached } = options;
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
      const body = await this.#ask(request, abort.signal, watchdog, sighting);
      onReached();
      const model = request.models[0] ?? "";
      return await readReply(body, { model, onText, clock, watchdog, pacer, abort, sighting });
    } catch (thrown) {
      throw abort.signal.aborted ? abort.signal.reason : thrown;
    } finally {
      watchdog.end();
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** Sends the request; answers with the body of a stream. */
  async #ask(
    request: ModelRequest,
    signal: AbortSignal,
    watchdog: Watchdog,
    sighting: Sighting,
  ): Promise<ReadableStream<Uint8Array>> {
    const { fetch, clock } = this.#options;
    const body = requestBody(request);
    let response: Response;
    try {
      response = await fetch(this.#url, { method: "POST", headers: this.#headers, body, signal });
    } catch (thrown) {
      throw unreachable(describe(thrown));
    }
    watchdog.heard(clock.now());
    sighting.reached = true;
    // OpenRouter's: it comes long before the first chunk, which has it too.
    const generationId = response.headers.get("x-generation-id");
    if (generationId !== null) sighting.generationId = generationId;
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
