/**
 * The durable events of a session: what has a `seq`, survives a lost socket and is replayed on resume.
 *
 * The log is the one truth. What the model sees (`agent/history.ts`) and what a client is shown
 * (`protocol/render.ts`) are both read off it.
 */

import type { ErrorCode } from "../errors.ts";
import type { QueryOptions } from "./client_frames.ts";
import type { Priority } from "./queueing.ts";

/** What a reply cost, as the provider reports it. */
export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  /** In US dollars, where the provider reports it. */
  cost?: number;
}

interface OfQuery {
  /** The client's idempotency key, or the one the server gave. */
  queryId: string;
  turnId: string;
}

/** A question was taken. */
export interface QueryEvent extends OfQuery {
  kind: "query";
  content: string;
  options: QueryOptions;
  priority: Priority;
  /** Whether it goes before all that wait (policy `interrupt`). */
  first: boolean;
  /** Who asked: this connection learns `seq` from a `status`, every other one from the `query` frame. */
  connectionId: string;
  /** Comments of feedback with verdict `modify`, put before the model with this query. */
  feedback: readonly string[];
}

/** A turn was answered in full. */
export interface ResponseEvent extends OfQuery {
  kind: "response";
  content: string;
  finishReason: string;
  model: string;
  usage?: Usage;
}

/** A turn failed, or was interrupted. */
export interface ErrorEvent extends OfQuery {
  kind: "error";
  code: ErrorCode;
  content: string;
  retryable: boolean;
  retryAfterMs?: number;
  /** What had been written by then; empty if nothing was. */
  partial: string;
}

/** A turn was stopped on somebody's wish. */
export interface CancelledEvent extends OfQuery {
  kind: "cancelled";
  reason: "cancelled" | "interrupted" | "superseded";
  partial: string;
}

/** The conversation so far is put out of the model's sight; the log keeps it. */
export interface ClearedEvent {
  kind: "cleared";
  /** The server's key for it, unique in the session. */
  clearId: string;
  /** The client's id of the command, if it had one. */
  commandId?: string;
  connectionId: string;
}

/** What queries fall back on was changed, field by field. */
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

/** Something was pushed in from another function. */
export interface NotificationEvent {
  kind: "notification";
  /** The sender's key for it, or the one it was given: a repeat is dropped. */
  notificationId: string;
  type: "notification" | "status";
  content: string;
  code?: string;
  data?: Record<string, unknown>;
  source?: string;
}

export type TerminalEvent = ResponseEvent | ErrorEvent | CancelledEvent;
export type NewLogEvent = QueryEvent | TerminalEvent | ClearedEvent | ConfiguredEvent | NotificationEvent;

/** What an event has once it is committed. */
export interface Logged {
  /** 1, 2, 3 … within the session, without holes. */
  seq: number;
  /** When it was committed, in milliseconds since the epoch. */
  at: number;
}

export type LogEvent = NewLogEvent & Logged;

/**
 * What makes two events of a session the same: the log takes each once. An end is its turn's, not its query's: an id may be
 * used again once its question is no longer kept, and the end of the older turn may outlive that.
 */
export function keyOf(event: NewLogEvent): string {
  switch (event.kind) {
    case "query":
      return `q:${event.queryId}`;
    case "response":
    case "error":
    case "cancelled":
      return `t:${event.turnId}`;
    case "cleared":
      return `c:${event.clearId}`;
    case "configured":
      return `o:${event.configId}`;
    case "notification":
      return `n:${event.notificationId}`;
  }
}

/** Whether the event ends a turn. */
export function isTerminal<T extends NewLogEvent>(event: T): event is T & TerminalEvent {
  return event.kind === "response" || event.kind === "error" || event.kind === "cancelled";
}
