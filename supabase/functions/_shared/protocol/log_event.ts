/**
 * The durable events of a session: they have a `seq`, survive a lost socket and are replayed on resume.
 *
 * The log is the single source of truth. What the model sees (`agent/history.ts`) and the frames that clients get
 * (`protocol/render.ts`) are both derived from it.
 */

import type { ErrorCode } from "../errors.ts";
import type { QueryOptions } from "./client_frames.ts";
import type { Priority } from "./queueing.ts";
import { isToolEvent, type ToolEvent, toolKeyOf } from "./tool_events.ts";

/** The token counts of an answer, as the provider reports them. */
export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  /** Those of `completion_tokens` that the model thought with, if the provider reports them. */
  reasoning_tokens?: number;
  /** In US dollars, if the provider reports it. */
  cost?: number;
  /** Set if the provider has not reported them: then they are estimated from the prompt and the text. */
  estimated?: true;
}

/**
 * How a model was asked to continue an answer. `prefill`: the answer so far was the last message. `anchored`: it
 * was asked to repeat the last words and to go on. `restart`: it was asked the question again.
 */
export type ContinueWay = "prefill" | "anchored" | "restart";

/** An answer that was begun by one worker and continued by another. */
export interface Continued {
  /** The ways that were tried, in order. The last one has brought the text. */
  ways: readonly ContinueWay[];
}

interface OfQuery {
  /** The client's idempotency key, or the id that the server generated. */
  queryId: string;
  turnId: string;
}

/** A query was accepted. */
export interface QueryEvent extends OfQuery {
  kind: "query";
  content: string;
  options: QueryOptions;
  priority: Priority;
  /** Whether it precedes all waiting queries (policy `interrupt`). */
  first: boolean;
  /** The connection that asked. It gets the `seq` in a `status`; every other connection gets it in the `query` frame. */
  connectionId: string;
  /** Comments of `modify` feedback that are given to the model with this query. */
  feedback: readonly string[];
  /** The query that this one takes the place of: the log from that query on is superseded. */
  replaces?: string;
}

/**
 * A query and the later ones are superseded: the turns whose queries have `fromSeq <= seq < ` this event's `seq`. They are hidden from the
 * model and from `history`, with their ends, which may come later. The log keeps them. The store appends it, directly before the query
 * that `replaces`.
 */
export interface RewoundEvent extends OfQuery {
  kind: "rewound";
  /** The id of the replaced query. It may have been superseded before. */
  replaces: string;
  /** The `seq` of the replaced query's event. */
  fromSeq: number;
}

/** A turn was answered in full. */
export interface ResponseEvent extends OfQuery {
  kind: "response";
  content: string;
  finishReason: string;
  model: string;
  usage?: Usage;
  /** How many messages the model was not given, because the prompt was too long. Left out if it got all. */
  trimmed?: number;
  /** Set if another worker had begun it. */
  continued?: Continued;
}

/** A turn failed, or was interrupted. */
export interface ErrorEvent extends OfQuery {
  kind: "error";
  code: ErrorCode;
  content: string;
  retryable: boolean;
  retryAfterMs?: number;
  /** The text so far; empty if there was none. */
  partial: string;
  /** Of the requests that this turn's worker made for it. */
  usage?: Usage;
}

/** A turn was stopped by a user's command or by a later query. */
export interface CancelledEvent extends OfQuery {
  kind: "cancelled";
  reason: "cancelled" | "interrupted" | "superseded";
  partial: string;
  /** Of the requests that this turn's worker made for it; missing if it made none. */
  usage?: Usage;
}

/** The conversation so far is hidden from the model. The log keeps it. */
export interface ClearedEvent {
  kind: "cleared";
  /** The server's key for it, unique in the session. */
  clearId: string;
  /** The client's id of the command, if it had one. */
  commandId?: string;
  connectionId: string;
}

/** Defaults of queries were set, field by field. */
export interface ConfiguredEvent {
  kind: "configured";
  /** The server's key for it, unique in the session. */
  configId: string;
  /** The client's id of the command, if it had one. */
  commandId?: string;
  connectionId: string;
  /** Only the fields that were set. */
  options: QueryOptions;
}

/** A notification from another function. */
export interface NotificationEvent {
  kind: "notification";
  /** The sender's idempotency key, or the id that the server generated. A repeat is dropped. */
  notificationId: string;
  type: "notification" | "status";
  content: string;
  code?: string;
  data?: Record<string, unknown>;
  source?: string;
}

export type TerminalEvent = ResponseEvent | ErrorEvent | CancelledEvent;
/** What a worker may write. */
export type NewLogEvent =
  | QueryEvent
  | TerminalEvent
  | ToolEvent
  | ClearedEvent
  | ConfiguredEvent
  | NotificationEvent;

/** The fields that an event gets when it is committed. */
export interface Logged {
  /** 1, 2, 3 … within the session, without gaps. */
  seq: number;
  /** When it was committed, in milliseconds since the epoch. */
  at: number;
}

/** What the log has. */
export type LogEvent = (NewLogEvent | RewoundEvent) & Logged;

/**
 * The key of an event within its session. The log accepts each key once. A terminal event has the key of its turn, not of its
 * query: a query id may be used again when its events are no longer kept.
 */
export function keyOf(event: NewLogEvent | RewoundEvent): string {
  if (isToolEvent(event)) return toolKeyOf(event);
  switch (event.kind) {
    case "query":
      return `q:${event.queryId}`;
    case "response":
    case "error":
    case "cancelled":
      return `t:${event.turnId}`;
    case "rewound":
      return `w:${event.turnId}`;
    case "cleared":
      return `c:${event.clearId}`;
    case "configured":
      return `o:${event.configId}`;
    case "notification":
      return `n:${event.notificationId}`;
  }
}

/** Whether the event is part of a turn, so that it is superseded with it. */
export function isOfTurn<T extends LogEvent>(event: T): event is T & { turnId: string } {
  return "turnId" in event && event.kind !== "rewound";
}

/** Whether the event ends a turn. */
export function isTerminal<T extends NewLogEvent | RewoundEvent>(event: T): event is T & TerminalEvent {
  return event.kind === "response" || event.kind === "error" || event.kind === "cancelled";
}
