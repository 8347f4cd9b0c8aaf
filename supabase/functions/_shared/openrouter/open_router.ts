/** The language model: OpenRouter, or any server that speaks its chat completions. */

import { AgentError } from "../errors.ts";
import type { LanguageModel, ModelReply, ModelRequest, ReplyOptions } from "../ports/model.ts";
import type { Clock, Log } from "../ports/runtime.ts";
import { dialectOf, type ModelDialect } from "../model_dialect.ts";
import type { ThinkTagPolicy } from "../think_tags.ts";
import { RequestAdapter } from "./adapted_request.ts";
import { AttemptFailure, unreachable } from "./attempt_failure.ts";
import { type Asking, continueReply, type Receive } from "./continuation/continue_reply.ts";
import { PrefillModels, wantsPrefix } from "./continuation/ways.ts";
import { askInTurn } from "./fallback_models.ts";
import { describe, mask } from "./mask.ts";
import { meterAttempt, type Sighting } from "./metered_attempt.ts";
import { reasoningFieldOf } from "./prompt_form.ts";
import type { ReadPacer } from "./read_pacer.ts";
import { readReply } from "./reply_stream.ts";
import { replyToolsFor } from "./reply_tools.ts";
import { completionsUrl, type Endpoint, type RequestFields, requestHeaders, withBound } from "./request.ts";
import { openBody } from "./response_body.ts";
import { backoffMs, MAX_RETRY_WAIT_MS, pause } from "./retry_after.ts";
import { Watchdog } from "./watchdog.ts";

export interface OpenRouterOptions extends Endpoint {
  /** Further attempts after a failure that may pass, as long as no text has been handed on. */
  maxRetries: number;
  /** Longest prompt in tokens, by estimate: the oldest exchanges are left out. Default 0: only the provider's own limit. */
  maxPromptTokens?: number | undefined;
  /** Longest wait of one attempt for its first text, in milliseconds; comments do not count. 0: no limit. */
  firstTokenTimeoutMs: number;
  /** Longest silence of the provider, in milliseconds, from the first byte of its stream on; comments count. 0: no limit. */
  stallTimeoutMs: number;
  /** What becomes of thoughts between tags at the beginning of an answer. Default `show`. */
  thinkTags?: ThinkTagPolicy;
  clock: Clock;
  /** From 0 up to 1, as `Math.random`: spreads retries, and makes ids of tool calls that have none. */
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
 * | `model_rejected` | 400, 404, 413, 422 and other 4xx; the model does not support tools | no |
 * | `prompt_too_long` | the question alone is longer than the model takes | no |
 * | `model_unauthorized` | 401, 402 (out of credit), 403 | no |
 * | `model_rate_limited` | 429; with `retryAfterMs` if the provider said | yes |
 * | `model_timeout` | 408, a stall, no first text in time | yes |
 * | `model_unavailable` | 5xx, no connection, an error reported in the stream | yes |
 * | `model_stream_broken` | an end without a finish reason and without `[DONE]`, or something that is no answer | yes |
 * | `empty_answer` | an answer without text, and without calls of tools that the request offers | only if nothing at all came |
 *
 * An error in the stream or in a body is treated as the HTTP status that its code or words stand for (reported_error.ts).
 */
export function createOpenRouter(options: OpenRouterOptions): LanguageModel {
  return new OpenRouter(options);
}

interface AttemptOptions extends Receive {
  sighting?: Sighting;
  /** Called when the provider has begun to answer. */
  onReached?(): void;
}

class OpenRouter implements LanguageModel {
  readonly #options: OpenRouterOptions;
  readonly #dialect: ModelDialect;
  readonly #url: string;
  readonly #headers: Headers;
  readonly #adapter: RequestAdapter;
  readonly #prefillModels: PrefillModels;

  constructor(options: OpenRouterOptions) {
    const { apiKey, log, maxPromptTokens = 0 } = options;
    const { baseUrl } = options;
    const dialect = dialectOf(baseUrl, options.dialect);
    this.#options = options;
    this.#dialect = dialect;
    this.#url = completionsUrl(options);
    this.#headers = requestHeaders(options, dialect);
    this.#adapter = new RequestAdapter({ baseUrl, dialect, maxPromptTokens, apiKey, log });
    this.#prefillModels = new PrefillModels(options.prefillModels ?? []);
  }

  async reply(request: ModelRequest, options: ReplyOptions): Promise<ModelReply> {
    if (request.partial !== "") return await this.#continue(request, options);
    const { onText, signal, meter } = options;
    let begun = false;
    const begin = (text: string): void => {
      begun = true;
      onText(text);
    };
    return await this.#askUntil(request, {
      tail: [],
      hasBegun: () => begun,
      signal,
      meter,
      attempt: (send) => send({ ...options, onText: begin, onCall: () => void (begun = true) }),
    });
  }

  #continue(request: ModelRequest, options: ReplyOptions): Promise<ModelReply> {
    const { baseUrl, apiKey, log } = this.#options;
    return continueReply(request, options, {
      prefillModels: this.#prefillModels,
      prefix: wantsPrefix(baseUrl),
      ask: (asked, asking) => this.#askUntil(asked, asking),
      onFailed: ({ failure, ...fields }) => {
        const { status, detail } = failure ?? {};
        log.write({
          level: "info",
          event: "model_continuation_failed",
          ...fields,
          ...(status !== undefined && { status }),
          ...(detail !== undefined && { detail: mask(detail, apiKey) }),
        });
      },
    });
  }

  /** Asks, and asks again after a failure that may pass, as long as no text was handed on and no tool call is whole. */
  async #askUntil(request: ModelRequest, asking: Asking): Promise<ModelReply> {
    const { tail, hasBegun, signal, meter } = asking;
    const { clock, maxRetries, random } = this.#options;
    const { maxTokens = meter?.unboundTokens } = request;
    const keepsBound = meter?.unboundTokens !== undefined;
    const requests = this.#adapter.adapt({ ...request, maxTokens }, { tail, keepsBound });
    for (let attempt = 1;; attempt++) {
      try {
        return await askInTurn(requests, {
          attempt: (adapted, fields) => {
            signal.throwIfAborted();
            return asking.attempt((receive) => this.#metered(adapted, fields, { ...receive, tail, meter }));
          },
          hasBegun,
          onFailure: (failure) => {
            asking.onFailure?.(failure);
            this.#report(failure, { attempt });
          },
        });
      } catch (thrown) {
        if (signal.aborted || !(thrown instanceof AttemptFailure)) throw thrown;
        asking.onFailure?.(thrown);
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
    const { code, message, retryable, retryAfterMs, status, model, usage } = failure;
    const detail = mask(failure.detail, this.#options.apiKey);
    const http = status === undefined ? {} : { status };
    this.#options.log.write({
      level: "warn",
      event: "model_attempt_failed",
      ...(model !== undefined && { model }),
      code,
      ...http,
      ...fields,
      ...usage,
      detail,
    });
    return new AgentError(code, message, {
      retryable,
      ...(retryAfterMs !== undefined && { retryAfterMs }),
      cause: new Error(status === undefined ? detail : `HTTP ${status}: ${detail}`),
    });
  }

  /** One attempt, accounted for. With a budget it waits for its part of it, and its answer may have no more tokens than that. */
  async #metered(
    request: ModelRequest,
    fields: RequestFields,
    { meter, tail, ...receive }: Receive & Pick<Asking, "meter" | "tail">,
  ): Promise<ModelReply> {
    const { models, tools, maxTokens } = request;
    const opening = meter?.begin({ messages: [...request.messages, ...tail], tools, models, maxTokens });
    const metered = opening instanceof Promise ? await opening : opening;
    if (metered === undefined) return await this.#attempt(request, fields, receive);
    const granted = metered.maxTokens === maxTokens ? fields : withBound(fields, metered.maxTokens);
    const onText = (text: string): void => {
      metered.said(text);
      receive.onText(text);
    };
    return await meterAttempt(metered, receive.signal, (sighting) => {
      const onReached = (): void => metered.reached(sighting.generationId);
      return this.#attempt(request, granted, { ...receive, onText, sighting, onReached });
    });
  }

  async #attempt(
    request: ModelRequest,
    fields: RequestFields,
    { onText, onReasoning, onCall, signal, sighting = {}, onReached }: AttemptOptions,
  ): Promise<ModelReply> {
    const { clock, random, stallTimeoutMs, firstTokenTimeoutMs, pacer, thinkTags = "show" } = this.#options;
    const [model = ""] = request.models;
    const reasoningField = reasoningFieldOf(this.#dialect, this.#adapter.formOf(model));
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
      const body = await this.#ask(fields, abort.signal, sighting);
      onReached?.();
      return await readReply(body, {
        model,
        thinkTags,
        keepsSpace: request.partial !== "",
        tools: replyToolsFor(request, { random, reasoningField }),
        sighting,
        onText,
        onReasoning,
        onCall,
        clock,
        watchdog,
        pacer,
        abort,
      });
    } finally {
      watchdog.end();
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** Sends the request; answers with the body of its answer. */
  async #ask(
    fields: RequestFields,
    signal: AbortSignal,
    sighting: Sighting,
  ): Promise<ReadableStream<Uint8Array>> {
    const { fetch, clock } = this.#options;
    const body = JSON.stringify(fields);
    try {
      const response = await fetch(this.#url, { method: "POST", headers: this.#headers, body, signal });
      sighting.status = response.status;
      // OpenRouter's: it comes long before the first chunk, which has it too.
      const generationId = response.headers.get("x-generation-id");
      if (generationId !== null) sighting.generationId = generationId;
      return await openBody(response, clock);
    } catch (thrown) {
      signal.throwIfAborted();
      throw thrown instanceof AttemptFailure ? thrown : unreachable(describe(thrown));
    }
  }
}
