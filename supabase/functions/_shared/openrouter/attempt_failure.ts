/** What a failed attempt at a reply becomes: a stable code and our own words. */

import type { ErrorCode } from "../errors.ts";

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

  constructor(code: ErrorCode, message: string, options: AttemptFailureOptions) {
    super(message);
    this.code = code;
    this.detail = options.detail;
    this.retryable = options.retryable ?? true;
    this.askAgain = options.askAgain ?? this.retryable;
    this.retryAfterMs = options.retryAfterMs;
    this.status = options.status;
  }
}

/**
 * The failure that an HTTP status stands for, or the `code` of an error within the stream: OpenRouter numbers those
 * alike (https://openrouter.ai/docs/api-reference/errors).
 */
export function statusFailure(
  status: number,
  options: { detail: string; retryAfterMs?: number | undefined },
): AttemptFailure {
  const refused = { ...options, status, retryable: false };
  const failed = { ...options, status };
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
        "model_rejected",
        "the conversation is too long for the model provider",
        refused,
      );
    case 429:
      return new AttemptFailure("model_rate_limited", "the model provider is rate limiting us", failed);
  }
  if (status >= 400 && status < 500) {
    return new AttemptFailure(
      "model_rejected",
      `the model provider refused the request (${status})`,
      refused,
    );
  }
  // What is neither a refusal nor a server's failure (a redirect to nowhere, say) will be the same the next time.
  const askAgain = status >= 500;
  return new AttemptFailure("model_unavailable", "the model provider is unavailable", {
    ...failed,
    askAgain,
  });
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

export function unreachable(detail: string): AttemptFailure {
  return new AttemptFailure("model_unavailable", "the model provider cannot be reached", { detail });
}

/** Nothing came for `STALL_TIMEOUT_MS`, not even a comment. */
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
