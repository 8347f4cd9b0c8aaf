/** What can go wrong, by a stable code. */

import type { ErrorCode, ErrorFrame } from "./frames.ts";

/**
 * Why a query, a command or a connection came to nothing: a code of the server's (docs/PROTOCOL.md), or one of ours:
 *
 * - `closed`: the client was closed, or the server said stop.
 * - `connection_lost`: the socket was cut after a command was sent that must not be sent twice.
 * - `too_many_queued`: more than `maxQueued` wait to be taken.
 * - `text_restarted`: the answer was restarted and no longer begins with the text that the iterator has yielded; see `Turn`.
 * - `session_lost`: the session is gone, and with it another tab's running answer.
 * - `undeliverable`: a query was sent ten times and never answered.
 * - `token_failed`: `getToken` threw.
 * - `bad_frame`: the server sent what is no frame.
 */
export type ClientErrorCode =
  | ErrorCode
  | "closed"
  | "connection_lost"
  | "too_many_queued"
  | "text_restarted"
  | "session_lost"
  | "undeliverable"
  | "token_failed"
  | "bad_frame";

/** What an error knows beside its code. */
export interface ClientErrorOptions {
  /** Whether the same may succeed later. Default: false. */
  retryable?: boolean;
  /** Milliseconds to wait before that. */
  retryAfterMs?: number | undefined;
  /** What was written of the answer before it failed. */
  partial?: string;
  cause?: unknown;
}

/** A failure with a stable code. */
export class AgentClientError extends Error {
  override readonly name = "AgentClientError";
  readonly code: ClientErrorCode;
  readonly retryable: boolean;
  readonly retryAfterMs: number | undefined;
  readonly partial: string;
  /** Of a query that the server never took: what to ask again, elsewhere or later. */
  unsent: UnsentQuery | undefined;

  constructor(code: ClientErrorCode, message: string, options: ClientErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryable = options.retryable ?? false;
    this.retryAfterMs = options.retryAfterMs;
    this.partial = options.partial ?? "";
  }
}

/** A query that the server never took. */
export interface UnsentQuery {
  id: string;
  text: string;
}

/** What an `error` frame says, to be thrown. */
export function toError(frame: ErrorFrame): AgentClientError {
  const { code, content, retryable, retry_after_ms: retryAfterMs, partial = "" } = frame;
  return new AgentClientError(code, content, { retryable, retryAfterMs, partial });
}
