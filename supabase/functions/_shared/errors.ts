/**
 * What can go wrong, by a stable code that a client may act on.
 *
 * The message of an {@linkcode AgentError} is written for the client: our own words, never a provider's body, a
 * token or a key. The underlying error is in `cause`, for the log.
 */

/** Codes of `error` frames and of problem bodies. docs/PROTOCOL.md says when each is sent. */
export const ERROR_CODES = [
  // The frame
  "invalid_json",
  "invalid_encoding",
  "invalid_frame",
  "unknown_type",
  "forbidden_type",
  "message_too_large",
  "content_required",
  "unknown_command",
  "invalid_args",
  "id_conflict",
  // Who asks, and how often
  "unauthorized",
  "forbidden",
  "rate_limited",
  "too_many_connections",
  "too_many_sessions",
  "budget_exceeded",
  // The queue
  "queue_full",
  "busy",
  "unknown_turn",
  "unknown_query",
  "unknown_approval",
  "unknown_call",
  "already_decided",
  "option_not_allowed",
  "shutting_down",
  // The model
  "model_rejected",
  "prompt_too_long",
  "model_unauthorized",
  "model_rate_limited",
  "model_unavailable",
  "model_timeout",
  "model_stream_broken",
  "empty_answer",
  "interrupted",
  // Ours
  "store_unavailable",
  "unknown_session",
  "chat_exists",
  "lease_lost",
  "relay_unavailable",
  "internal",
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

export interface AgentErrorOptions {
  /** Whether the same request may succeed later. Default false. */
  retryable?: boolean;
  /** Milliseconds to wait before trying again, where it is known. */
  retryAfterMs?: number;
  /** What really happened: for the log only. */
  cause?: unknown;
  /** Further fields of the `error` frame, such as `limit` and `remaining`. */
  data?: Readonly<Record<string, number | string>>;
}

/** A refusal or failure with a stable code and words that a client may see. */
export class AgentError extends Error {
  override readonly name = "AgentError";
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly retryAfterMs: number | undefined;
  readonly data: Readonly<Record<string, number | string>> | undefined;

  constructor(code: ErrorCode, message: string, options: AgentErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryable = options.retryable ?? false;
    this.retryAfterMs = options.retryAfterMs;
    this.data = options.data;
  }
}

/** Anything thrown, as an {@linkcode AgentError}: what is not one already becomes `internal`. */
export function toAgentError(thrown: unknown): AgentError {
  if (thrown instanceof AgentError) return thrown;
  return new AgentError("internal", "Something went wrong on the server", { retryable: true, cause: thrown });
}
