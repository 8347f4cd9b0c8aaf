/** What a failed attempt at a reply becomes: a stable code and our own words. */

import type { ErrorCode } from "../errors.ts";
import type { Usage } from "../protocol/log_event.ts";

export interface AttemptFailureOptions {
  /** What the provider or the runtime said. For the log only, and not before its keys are masked. */
  detail: string;
  /** Whether the same request may succeed later. Default true. */
  retryable?: boolean;
  /** Whether asking again by ourselves makes sense, as long as no text was passed on. Default: `retryable`. */
  askAgain?: boolean;
  retryAfterMs?: number | undefined;
  /** The HTTP status, where there was one. */
  status?: number | undefined;
  /** What the attempt has cost, where the provider said so. */
  usage?: Usage | undefined;
}

/** One attempt at a reply failed. The message is for clients, after "Failed to generate response: ". */
export class AttemptFailure extends Error {
  override readonly name = "AttemptFailure";
  readonly code: ErrorCode;
  readonly detail: string;
  readonly retryable: boolean;
  readonly askAgain: boolean;
  readonly retryAfterMs: number | undefined;
  readonly status: number | undefined;
  /** The model that was asked, for the log; set by `AdaptedRequest`. */
  model: string | undefined;
  readonly usage: Usage | undefined;

  constructor(code: ErrorCode, message: string, options: AttemptFailureOptions) {
    super(message);
    this.code = code;
    this.detail = options.detail;
    this.retryable = options.retryable ?? true;
    this.askAgain = options.askAgain ?? this.retryable;
    this.retryAfterMs = options.retryAfterMs;
    this.status = options.status;
    this.usage = options.usage;
  }
}

/**
 * The failure that an HTTP status stands for, or the `code` of an error within the stream: OpenRouter numbers those
 * alike (https://openrouter.ai/docs/api-reference/errors). `options.status` is undefined if only words stood for the status.
 */
export function statusFailure(status: number, options: AttemptFailureOptions): AttemptFailure {
  const refused = { ...options, retryable: false };
  const failed = options;
  switch (status) {
    case 401:
      return new AttemptFailure("model_unauthorized", "the model provider does not accept our key", refused);
    case 402:
      return new AttemptFailure(
        "model_unauthorized",
        "the account with the model provider is out of credit",
        refused,
      );
    case 403:
      return new AttemptFailure(
        "model_unauthorized",
        "the model provider does not allow this request",
        refused,
      );
    case 404:
      return new AttemptFailure("model_rejected", "the model provider does not have this model", refused);
    case 408:
      return new AttemptFailure("model_timeout", "the model provider timed out", failed);
    case 413:
      return new AttemptFailure(
        "prompt_too_long",
        "the conversation is too long for the model provider",
        refused,
      );
    case 429:
    // Groq's own, for a tier without capacity (https://console.groq.com/docs/errors).
    case 498:
      return new AttemptFailure("model_rate_limited", "the model provider is rate limiting us", failed);
  }
  if (status >= 400 && status < 500) {
    const number = options.status === undefined ? "" : ` (${status})`;
    return new AttemptFailure("model_rejected", `the model provider refused the request${number}`, refused);
  }
  // What is neither a refusal nor a server's failure (a redirect to nowhere, say) will be the same the next time.
  const askAgain = status >= 500;
  return new AttemptFailure("model_unavailable", "the model provider is unavailable", {
    ...failed,
    askAgain,
  });
}

/** An error that names neither a status nor a cause that is known. */
export function unnamedFailure(options: AttemptFailureOptions): AttemptFailure {
  return new AttemptFailure("model_unavailable", "the model provider failed while answering", options);
}

/** The provider's filter has refused the question. */
export function contentRefused(options: AttemptFailureOptions): AttemptFailure {
  const message = "the content filter of the model provider refused this conversation";
  return new AttemptFailure("model_rejected", message, { ...options, retryable: false });
}

/** The stream cannot be made sense of, or ended too early. */
export function brokenStream(detail: string): AttemptFailure {
  return new AttemptFailure("model_stream_broken", "the answer of the model provider broke off", { detail });
}

/** Status 200, but with something that is no event stream: another attempt would get the same. */
export function notAStream(detail: string): AttemptFailure {
  const message = "the model provider answered with something that is no stream";
  return new AttemptFailure("model_stream_broken", message, { detail, askAgain: false });
}

/** Status 200 and HTML: most often `OPENROUTER_BASE_URL` is a site's address and not its API's. */
export function webPage(detail: string): AttemptFailure {
  const message = "the model provider answered with a web page instead of an answer";
  return new AttemptFailure("model_stream_broken", message, { detail, askAgain: false });
}

export function unreachable(detail: string): AttemptFailure {
  return new AttemptFailure("model_unavailable", "the model provider cannot be reached", { detail });
}

/** Nothing came for `STALL_TIMEOUT_MS` after the stream had begun, not even a comment. */
export function stalled(stallTimeoutMs: number): AttemptFailure {
  return new AttemptFailure("model_timeout", "the model provider stopped sending", {
    detail: `nothing came for ${stallTimeoutMs} ms`,
  });
}

/** A client that waited this long for the first token should not wait as long again. */
export function tooSlowToBegin(firstTokenTimeoutMs: number): AttemptFailure {
  return new AttemptFailure("model_timeout", "the model took too long to begin its answer", {
    detail: `no text came within ${firstTokenTimeoutMs} ms`,
    askAgain: false,
  });
}
