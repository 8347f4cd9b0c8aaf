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

/** Why a token is wanted: a connection begins, the last token was refused or has ended, or it is about to end. */
export type TokenReason = "connect" | "rejected" | "expiring";

export interface AgentClientOptions extends Partial<ClientPorts> {
  /**
   * The user's token, asked for at every connection, before it expires, and where one was refused. Nothing: the connection is
   * anonymous. If it throws, the connection is tried again later.
   */
  getToken?(why: TokenReason): string | null | undefined | Promise<string | null | undefined>;
  /** Whether answers come in pieces, as they are written. Default: true. */
  stream?: boolean;
  /** Keeps the cursor, so that a reloaded page continues where it was: `sessionStorage`. Default: not kept. */
  storage?: CursorStorage;
  /** The name it is kept under. Default: `agent-websocket`. */
  storageKey?: string;
  /** With `all`, the first connection replays the whole session, so that `turns` is complete. Default: `missed`. */
  replay?: "missed" | "all";
  /** Queries that may wait to be taken by the server; one more fails. Default: 100. */
  maxQueued?: number;
  /** Whether a query that the end of a worker interrupted is asked again, up to three times. Default: true. */
  repeatInterrupted?: boolean;
}

/** What is known of the session that the client is in. */
export interface SessionInfo {
  id: string;
  connectionId: string;
  /** Whether it outlives the worker. */
  durable: boolean;
  /** The newest event up to which nothing is missing. */
  lastSeq: number;
  /** What the server allows, such as `max_message_bytes`. */
  limits: Readonly<Record<string, number>>;
}

/** A connection stands. */
export interface Opened {
  session: SessionInfo;
  /**
   * After an attempt to resume, how it went. `recovered: false` with `reason`: `unknown_session` (this is a fresh session; what
   * was not answered is asked there), `gap` (events before `from_seq` are no longer kept), `cursor_ahead` (all that is
   * kept is told again).
   */
  resumed: NotificationFrame["resumed"];
}

/** Events by name. */
export interface ClientEvents {
  /** The first connection stands. */
  open: Opened;
  /** A later one. */
  reconnected: Opened;
  /** Any frame but the welcome and heartbeats; each event of the session once. */
  message: ServerFrame;
  /** A notice of the server's, or what another function sent. */
  notification: NotificationFrame | StatusFrame;
  /** A turn is there, or has changed: its state or its text. */
  turn: Turn;
  /** The connection is lost; the next attempt comes in `delayMs`. */
  reconnecting: Closing & { attempt: number; delayMs: number };
  /** It is over: nothing more is tried. `unsent` are the queries that the server never took. */
  close: Closing & { unsent: UnsentQuery[] };
  /** Something went wrong that is no turn's and no command's. */
  error: AgentClientError;
}

export type ClientStatus = "idle" | "connecting" | "open" | "reconnecting" | "closed";

/** A query's id, if the caller has one of its own, and what else it says. */
export interface AskOptions extends QueryFields {
  id?: string;
}
