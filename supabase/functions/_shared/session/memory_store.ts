/** Sessions and their logs in this worker's memory: `durable: false`, gone with the worker. */

import { AgentError } from "../errors.ts";
import type {
  Clock,
  EventLog,
  Feedback,
  LogPage,
  LogRange,
  SessionOwner,
  SessionRecord,
  SessionStore,
} from "../ports.ts";
import type { LogEvent, NewLogEvent } from "../protocol/log_event.ts";

/** UTF-16 units of text that one session's log may hold; the oldest events go past it, as they do past `maxEvents`. */
export const MAX_LOG_CHARS = 4_000_000;

export interface MemoryStoreOptions {
  clock: Clock;
  /** Events kept for each session. */
  maxEvents: number;
  /** Default {@linkcode MAX_LOG_CHARS}. */
  maxChars?: number;
}

interface StoredSession {
  record: SessionRecord;
  events: LogEvent[];
  /** Text held by `events`. */
  chars: number;
  lastSeq: number;
  /** Ids of feedback, oldest first; made with the first one. */
  feedback: Set<string> | undefined;
}

export class MemoryStore implements SessionStore, EventLog {
  readonly #clock: Clock;
  readonly #maxEvents: number;
  readonly #maxChars: number;
  readonly #sessions = new Map<string, StoredSession>();

  constructor({ clock, maxEvents, maxChars = MAX_LOG_CHARS }: MemoryStoreOptions) {
    this.#clock = clock;
    this.#maxEvents = maxEvents;
    this.#maxChars = maxChars;
  }

  create(record: SessionRecord): Promise<void> {
    this.#sessions.set(record.sessionId, { record, events: [], chars: 0, lastSeq: 0, feedback: undefined });
    return Promise.resolve();
  }

  find(sessionId: string, claims: readonly SessionOwner[]): Promise<SessionRecord | undefined> {
    const record = this.#sessions.get(sessionId)?.record;
    const isOwner = record !== undefined && claims.some((claim) => isSameOwner(claim, record.owner));
    return Promise.resolve(isOwner ? record : undefined);
  }

  list(userId: string, limit: number): Promise<readonly SessionRecord[]> {
    const records: SessionRecord[] = [];
    for (const { record } of this.#sessions.values()) {
      if (record.owner.kind === "user" && record.owner.userId === userId) records.push(record);
    }
    return Promise.resolve(records.sort((a, b) => b.createdAt - a.createdAt).slice(0, limit));
  }

  remove(sessionId: string): Promise<void> {
    this.#sessions.delete(sessionId);
    return Promise.resolve();
  }

  append(sessionId: string, events: readonly NewLogEvent[]): Promise<readonly LogEvent[]> {
    const session = this.#sessions.get(sessionId);
    if (session === undefined) return Promise.reject(unknownSession());
    const at = this.#clock.now();
    const logged = events.map((event): LogEvent => ({ ...event, seq: ++session.lastSeq, at }));
    for (const event of logged) {
      session.events.push(event);
      session.chars += charsOf(event);
    }
    this.#trim(session);
    return Promise.resolve(logged);
  }

  read(sessionId: string, { afterSeq, limit }: LogRange): Promise<LogPage> {
    const session = this.#sessions.get(sessionId);
    if (session === undefined) return Promise.reject(unknownSession());
    const { events, lastSeq } = session;
    const oldestSeq = events[0]?.seq ?? lastSeq + 1;
    // Without holes, so a seq is an index.
    const start = Math.max(0, afterSeq + 1 - oldestSeq);
    return Promise.resolve({ events: events.slice(start, start + limit), oldestSeq, lastSeq });
  }

  recordFeedback(sessionId: string, { id }: Feedback): Promise<{ repeated: boolean }> {
    const session = this.#sessions.get(sessionId);
    if (session === undefined) return Promise.reject(unknownSession());
    const seen = session.feedback ??= new Set();
    if (seen.has(id)) return Promise.resolve({ repeated: true });
    seen.add(id);
    if (seen.size > this.#maxEvents) {
      for (const oldest of seen) {
        seen.delete(oldest);
        break;
      }
    }
    return Promise.resolve({ repeated: false });
  }

  /** The newest event stays, however large. */
  #trim(session: StoredSession): void {
    const { events } = session;
    while (events.length > 1 && (events.length > this.#maxEvents || session.chars > this.#maxChars)) {
      const dropped = events.shift();
      if (dropped !== undefined) session.chars -= charsOf(dropped);
    }
  }
}

function charsOf(event: LogEvent): number {
  switch (event.kind) {
    case "query":
    case "response":
    case "notification":
      return event.content.length;
    case "error":
    case "cancelled":
      return event.partial.length;
    case "cleared":
      return 0;
  }
}

/** Hashes are compared whole: what an early end would tell is nothing about the token itself. */
function isSameOwner(a: SessionOwner, b: SessionOwner): boolean {
  if (a.kind === "user") return b.kind === "user" && a.userId === b.userId;
  return b.kind === "anonymous" && a.tokenHash === b.tokenHash;
}

function unknownSession(): AgentError {
  return new AgentError("store_unavailable", "Cannot reach the session: it has ended", { retryable: true });
}
