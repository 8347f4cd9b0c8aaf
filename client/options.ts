/** The options and events of a client. */

import type { AgentClientError, UnsentQuery } from "./error.ts";
import type { NotificationFrame, QueryFields, ServerFrame, StatusFrame } from "./frames.ts";
import type { ClientPorts, CursorStorage } from "./ports.ts";
import type { Turn } from "./turn.ts";

/** How a connection ended. */
export interface Closing {
  code: number;
  reason: string;
}

/**
 * Why the client asks for a token: a connection begins, the last token was refused or has expired, or it will soon
 * expire.
 */
export type TokenReason = "connect" | "rejected" | "expiring";

export interface AgentClientOptions extends Partial<ClientPorts> {
  /**
   * Returns the user's token. The client asks for it at every connection, before it expires, and after one was refused.
   * Without a token, the connection is anonymous. If this throws, takes more than 10 s, or returns nothing after a token
   * was refused, the client emits an `error` with code `token_failed` and tries again later.
   */
  getToken?(why: TokenReason): string | null | undefined | Promise<string | null | undefined>;
  /** Whether answers are streamed in pieces as they are written. Default: true. */
  stream?: boolean;
  /** Whether turns have the model's `reasoning`. Default: false. */
  reasoning?: boolean;
  /** Where to keep the cursor, so that a reloaded page continues: for example `sessionStorage`. Default: not kept. */
  storage?: CursorStorage;
  /** The storage key of the cursor; with `chatId`, the beginning of the key. Default: `agent-websocket`. */
  storageKey?: string;
  /**
   * Your own id of the conversation, up to 128 characters: a user's conversation of that id is opened, or created.
   * Default: none, and the server makes up a session.
   */
  chatId?: string;
  /** With `all`, the first connection replays the whole session, so that `turns` is complete. Default: `missed`. */
  replay?: "missed" | "all";
  /** More query parameters for the URL of each connection, such as `{ agent: "sales" }`. Default: none. */
  parameters?: Readonly<Record<string, string>>;
  /** How many queries may wait until the server accepts them; one more fails. Default: 100. */
  maxQueued?: number;
  /** Whether to send a query again if the end of a worker interrupted it, up to three times. Default: true. */
  repeatInterrupted?: boolean;
}

/** What the client knows about its session. */
export interface SessionInfo {
  id: string;
  connectionId: string;
  /** Whether the session survives the worker. */
  durable: boolean;
  /** The newest event up to which no event is missing. */
  lastSeq: number;
  /** Whether everything has been received that was missed before the newest connection. */
  isCaughtUp: boolean;
  /** The server's limits, such as `max_message_bytes`. */
  limits: Readonly<Record<string, number>>;
}

/** A connection is ready. */
export interface Opened {
  session: SessionInfo;
  /**
   * After an attempt to resume: the result. `recovered: false` comes with a `reason`: `unknown_session` (this is a new
   * session; unanswered queries are asked there), `gap` (events before `from_seq` are no longer kept), `cursor_ahead`
   * (all kept events are replayed).
   */
  resumed: NotificationFrame["resumed"];
}

/** Events by name. */
export interface ClientEvents {
  /** The first connection is ready. */
  open: Opened;
  /** A later connection is ready. */
  reconnected: Opened;
  /** Any frame except the welcome and heartbeats; each event of the session once. */
  message: ServerFrame;
  /** A notice from the server, or a message from another function. */
  notification: NotificationFrame | StatusFrame;
  /** A turn is new, its state, text or reasoning has changed, or it was replaced (`isSuperseded`). */
  turn: Turn;
  /** The connection was lost; the next attempt comes in `delayMs`. */
  reconnecting: Closing & { attempt: number; delayMs: number };
  /**
   * The client has stopped and does not reconnect by itself. `unsent` contains the queries that the server never accepted.
   * After 1000 `Session timeout` the status is `idle`: the next query continues the session.
   */
  close: Closing & { unsent: UnsentQuery[] };
  /** An error that belongs to no turn and no command. */
  error: AgentClientError;
}

export type ClientStatus = "idle" | "connecting" | "open" | "reconnecting" | "closed";

/** The fields of a query besides its text. */
export interface AskOptions extends QueryFields {
  /** The caller's own id, unique in the session. Default: a new one. */
  id?: string;
  /**
   * The id of an earlier query that this one replaces, after an edit or to get another answer: that query and all that
   * came after it leave the conversation, also at the model. Default: none.
   */
  replaces?: string;
}
