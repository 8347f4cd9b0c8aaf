/** The client's errors, with stable codes. */

import type { ErrorCode, ErrorFrame } from "./frames.ts";

/**
 * Why a query, a command or a connection failed: a code of the server (docs/PROTOCOL.md), or one of the client:
 *
 * - `closed`: the client was closed, or the server told it to stop.
 * - `connection_lost`: the connection was lost after a command was sent that must not be sent twice.
 * - `too_many_queued`: more than `maxQueued` queries wait until the server accepts them.
 * - `text_restarted`: the answer was restarted and no longer begins with the text that the iterator has yielded; see
 *   `Turn`.
 * - `session_lost`: the session is gone, and with it another tab's running answer.
 * - `undeliverable`: a query was sent ten times and never answered.
 * - `token_failed`: `getToken` threw.
 * - `bad_frame`: the server sent something that is not a frame.
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

/** What an error contains besides its code. */
export interface ClientErrorOptions {
  /** Whether the same action may succeed later. Default: false. */
  retryable?: boolean;
  /** Milliseconds to wait before a retry. */
  retryAfterMs?: number | undefined;
  /** The part of the answer that was written before the failure. */
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
  /** If the server never accepted the query: what to ask again, elsewhere or later. */
  unsent: UnsentQuery | undefined;

  constructor(code: ClientErrorCode, message: string, options: ClientErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryable = options.retryable ?? false;
    this.retryAfterMs = options.retryAfterMs;
    this.partial = options.partial ?? "";
  }
}

/** A query that the server never accepted. */
export interface UnsentQuery {
  id: string;
  text: string;
}

/** Converts an `error` frame to an error that can be thrown. */
export function toError(frame: ErrorFrame): AgentClientError {
  const { code, content, retryable, retry_after_ms: retryAfterMs, partial = "" } = frame;
  return new AgentClientError(code, content, { retryable, retryAfterMs, partial });
}
