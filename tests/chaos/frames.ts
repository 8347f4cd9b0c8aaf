/** The server's frames, and the rows of the log, as far as the run looks at them. */

import type { DurableEvent } from "./records.ts";

/** What clients are shown of a call. */
export interface Shown {
  name?: string;
  input?: unknown;
  verdict?: string;
  outcome?: string;
  output?: string;
  comment?: string;
  needs?: string;
  expires_at?: string;
}

/** Any frame of the server. It is not checked against the schemas: the wire tests do that. */
export interface Frame extends Shown {
  type: string;
  content: string;
  seq?: number;
  code?: string;
  id?: string;
  in_reply_to?: string;
  call_id?: string;
  partial?: string;
  replay?: true;
  offset?: number;
  /** The number that short deltas have instead of the query's id. */
  ref?: number;
  retryable?: boolean;
  retry_after_ms?: number;
  session_id?: string;
  resume_token?: string;
  durable?: boolean;
  data?: Shown & Readonly<Record<string, unknown>>;
  resumed?: { recovered: boolean; from_seq: number; to_seq: number; reason?: string };
}

/** What a row of the log has of a tool call. */
export interface StoredToolFields {
  callId?: string;
  step?: number;
  name?: string;
  input?: unknown;
  needs?: string;
  isIdempotent?: boolean;
  expiresAt?: number;
  decisionId?: string;
  verdict?: string;
  comment?: string;
  outcome?: string;
  output?: string;
}

/** The `event` column of the log. */
export interface StoredEvent extends StoredToolFields {
  kind: DurableEvent["kind"];
  queryId?: string;
  notificationId?: string;
  content?: string;
  partial?: string;
  code?: string;
  /** Of a query too; only that of a `rewound` event counts. */
  replaces?: string;
}
