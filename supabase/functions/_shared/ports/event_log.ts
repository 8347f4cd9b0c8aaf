/** The durable events of sessions, and the lease to run their turns. */

import type { CancelledEvent, LogEvent, Logged, NewLogEvent, QueryEvent } from "../protocol/log_event.ts";
import type { ToolEvent } from "../protocol/tool_events.ts";

/** Events `from` … in order, as far as the page goes. */
export interface LogPage {
  events: readonly LogEvent[];
  /** The oldest `seq` still kept; `lastSeq + 1` if none is. */
  oldestSeq: number;
  /** The newest `seq` there is; 0 before the first event. */
  lastSeq: number;
  lease: Lease;
}

/** The newest events before a `seq` whose turns no `rewound` event of the whole log has superseded. */
export interface VisiblePage {
  /**
   * Oldest first, with gaps in `seq` where events are superseded or of tool calls. Events that are of no turn are always visible, and
   * `rewound` events.
   */
  events: readonly LogEvent[];
  /** Whether no visible event comes before these. */
  isFirst: boolean;
}

/** Which visible events of a session's log. */
export interface VisibleRange {
  /** Only events before this `seq`. */
  beforeSeq: number;
  /** At most this many. */
  limit: number;
}

/** Which part of a session's log. */
export interface LogRange {
  /** Only events after this `seq`. */
  afterSeq: number;
  /** At most this many. */
  limit: number;
}

/**
 * The right to run the turns of a session: one worker holds it at a time, for as long as it renews the lease. Each change of
 * holder gives the next epoch (a fencing token): writes under an old epoch are refused.
 */
export interface Lease {
  /** 0 before the first claim. */
  epoch: number;
  holder: "self" | "other" | "nobody";
  /** Milliseconds until another worker may claim it; 0 if it is free. */
  leftMs: number;
}

/** A turn that was accepted and has no terminal event yet. */
export interface OpenTurn {
  query: QueryEvent & Logged;
  /** How many times a worker started to run it; 0 while it waits. */
  starts: number;
  /** How many of these, the last in a row, brought no new text. */
  startsWithoutText: number;
  /** The answer so far, as of the newest checkpoint. */
  partial: string;
  /** Set if a client has asked to stop it. */
  stopped: CancelledEvent["reason"] | undefined;
  /** Its events of tool calls, oldest first. */
  tools: readonly (ToolEvent & Logged)[];
}

/** A request to stop open turns, for the worker that runs them. */
export interface StopRequest {
  /** The running one, those that wait, all, or that of one query. */
  which: "running" | "waiting" | "all" | { queryId: string };
  reason: CancelledEvent["reason"];
}

/** The next piece of a running answer, kept for a worker that may take the turn over. */
export interface Checkpoint {
  turnId: string;
  /** 1, 2, 3 … for each run of a turn: piece 1 replaces all earlier text, the others are appended. */
  number: number;
  /** Well-formed: a surrogate pair is never split between two pieces. */
  text: string;
}

/** One change to one session: all of it happens, or nothing. */
export type LogWrite = HolderWrite | ClaimingWrite | GuestWrite;

/** What any worker may write. */
export interface AnyWrite {
  /**
   * Appended in order. An event whose key is in the log already (`keyOf`) is not appended again. `configured` events are
   * also merged into the session's defaults. A query that `replaces` another is appended after a `rewound` event, or not at all if
   * the log has no query of that id.
   */
  events?: readonly NewLogEvent[];
  /** Stops turns that were open before this write. */
  stop?: StopRequest;
}

/** A write of the lease's holder. It renews the lease. Rejected with `lease_lost` unless `epoch` is the current one. */
export interface HolderWrite extends AnyWrite {
  epoch: number;
  lease?: "release";
  /** The turn that starts to run with this write. */
  startedTurnId?: string;
  checkpoint?: Checkpoint;
  onlyIfIdle?: never;
}

/** Takes the lease unless another worker holds it. Where another worker does, the rest of the write is done all the same. */
export interface ClaimingWrite extends AnyWrite {
  lease: "claim";
  /** The turn that starts to run with this write; ignored where the claim fails. */
  startedTurnId?: string;
  /** Rejected with `busy` where another worker holds the lease. */
  onlyIfIdle?: boolean;
  epoch?: never;
  checkpoint?: never;
}

/** A write of a worker that neither holds the lease nor wants it. */
export interface GuestWrite extends AnyWrite {
  lease?: never;
  epoch?: never;
  startedTurnId?: never;
  checkpoint?: never;
  /** Rejected with `busy` where another worker holds the lease. */
  onlyIfIdle?: boolean;
}

/** The result of a write that was done. */
export type Committed = CommittedByHolder | CommittedByGuest;

/** What the result of every write has. */
export interface AnyCommitted {
  /**
   * In the order of the write, with the `rewound` events that the log has added. An event that was in the log before is returned as
   * stored, with its first `seq`. A query that `replaces` a query which the log does not have is missing: it was not appended.
   */
  events: readonly LogEvent[];
  /** The newest `seq` after the write. */
  lastSeq: number;
  /** Queries of the open turns that this write's `stop` matched. */
  stopMatched: readonly string[];
}

/** This worker held the lease when the write was done. */
export interface CommittedByHolder extends AnyCommitted {
  lease: Lease & { holder: "self" };
  /** Open turns with a stop request. */
  stopped: readonly { queryId: string; reason: CancelledEvent["reason"] }[];
  /** Set where this write claimed the lease: the turns that were open before it, oldest first. */
  openTurns?: readonly OpenTurn[];
}

/** Another worker holds the lease after the write, or no worker. */
export interface CommittedByGuest extends AnyCommitted {
  lease: Lease & { holder: "other" | "nobody" };
  stopped?: never;
  openTurns?: never;
}

/** A user's feedback on a turn. */
export interface Feedback {
  /** The client's key for this piece of feedback: a repeat changes nothing. */
  id: string;
  turnId: string;
  verdict?: "approve" | "reject" | "modify";
  rating?: -1 | 1;
  comment: string;
}

/**
 * The durable events of every session, and who may end its turns. All methods reject with `store_unavailable`
 * (retryable) if the store cannot be reached, and with `unknown_session` if the session no longer exists.
 */
export interface EventLog {
  /**
   * Assigns `seq`: 1, 2, 3 … without gaps, across all workers. Writes of one worker to one session take
   * effect in the order they were made, and are answered in that order. Rejects with `lease_lost` or `busy`: nothing was
   * written. After `store_unavailable` the write is in doubt.
   */
  commit(sessionId: string, write: LogWrite): Promise<Committed>;
  read(sessionId: string, range: LogRange): Promise<LogPage>;
  readVisible(sessionId: string, range: VisibleRange): Promise<VisiblePage>;
  /** The newest `seq` of each session that still exists. */
  heads(sessionIds: readonly string[]): Promise<ReadonlyMap<string, number>>;
  /** Rejects with `unknown_turn` if the session has no such turn. */
  recordFeedback(sessionId: string, feedback: Feedback): Promise<{ repeated: boolean }>;
}
