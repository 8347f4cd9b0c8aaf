/**
 * Sessions and their logs in this worker's memory: `durable: false`, gone with the worker.
 *
 * It does all that a store of several workers does, leases too: tests run many workers on one.
 */

import { AgentError } from "../errors.ts";
import { MemoryBudget } from "../guard/memory_budget.ts";
import type {
  Committed,
  EventLog,
  Feedback,
  LogPage,
  LogRange,
  LogWrite,
  VisiblePage,
  VisibleRange,
} from "../ports/event_log.ts";
import type { Clock } from "../ports/runtime.ts";
import type {
  Conversation,
  ConversationRange,
  ConversationsOf,
  ConversationStore,
} from "../ports/conversation_store.ts";
import type { SessionOwner, SessionRecord, SessionStore, StoredSession } from "../ports/session_store.ts";
import { MemorySession } from "./memory_session.ts";

/** UTF-16 units of text that one session's log may hold; the oldest events go past it, as they do past `maxEvents`. */
export const MAX_LOG_CHARS = 4_000_000;

export interface MemoryStoreOptions {
  clock: Clock;
  /** Events kept for each session. */
  maxEvents: number;
  /** Default {@linkcode MAX_LOG_CHARS}. */
  maxChars?: number;
  /** How long a lease lasts that is not renewed, in milliseconds. Default: for ever. */
  leaseMs?: number;
  /** Counts what is kept. Default: one without a limit. */
  memory?: MemoryBudget;
}

export class MemoryStore implements SessionStore, ConversationStore, EventLog {
  readonly #options: Required<MemoryStoreOptions>;
  readonly #workerId: string;
  readonly #sessions: Map<string, MemorySession>;

  constructor(
    { maxChars = MAX_LOG_CHARS, leaseMs = Infinity, memory = new MemoryBudget(0), ...options }:
      MemoryStoreOptions,
    workerId = "self",
    sessions: Map<string, MemorySession> = new Map(),
  ) {
    this.#options = { ...options, maxChars, leaseMs, memory };
    this.#workerId = workerId;
    this.#sessions = sessions;
  }

  /** The same sessions, as another worker has them. */
  forWorker(workerId: string): MemoryStore {
    return new MemoryStore(this.#options, workerId, this.#sessions);
  }

  /** Whether it is one of these sessions. */
  has(sessionId: string): boolean {
    return this.#sessions.has(sessionId);
  }

  create(record: SessionRecord): Promise<void> {
    const { sessionId, chatId, owner } = record;
    const known = chatId === undefined ? undefined : this.#ofChat(chatId, owner);
    if (known !== undefined && known.record.sessionId !== sessionId) {
      return Promise.reject(new AgentError("chat_exists", "Cannot create session: the chat has one"));
    }
    if (known !== undefined) return Promise.resolve();
    this.#sessions.set(sessionId, new MemorySession(record, this.#options));
    return Promise.resolve();
  }

  find(
    sessionId: string,
    claims: readonly SessionOwner[],
    { tail }: { tail: number },
  ): Promise<StoredSession | undefined> {
    const session = this.#sessions.get(sessionId);
    const isFound = session !== undefined && isOwner(session, claims);
    return Promise.resolve(isFound ? session.describe(tail, this.#workerId) : undefined);
  }

  findByChat(
    chatId: string,
    claims: readonly SessionOwner[],
    { tail }: { tail: number },
  ): Promise<StoredSession | undefined> {
    for (const claim of claims) {
      const session = this.#ofChat(chatId, claim);
      if (session !== undefined) return Promise.resolve(session.describe(tail, this.#workerId));
    }
    return Promise.resolve(undefined);
  }

  list(
    whose: ConversationsOf,
    { limit, before, isArchived = false, search }: ConversationRange,
  ): Promise<readonly Conversation[]> {
    const isWanted = ({ record: { owner, sessionId } }: MemorySession): boolean =>
      "sessionId" in whose ? sessionId === whose.sessionId : isSameOwner(owner, { kind: "user", ...whose });
    const named = before === undefined ? undefined : this.#sessions.get(before);
    if (before !== undefined && (named === undefined || !isWanted(named))) return Promise.resolve([]);
    const last = named?.conversation;
    const found: Conversation[] = [];
    for (const session of this.#sessions.values()) {
      const { conversation } = session;
      if (!isWanted(session) || conversation.isArchived !== isArchived) continue;
      if (last !== undefined && byActivity(last, conversation) >= 0) continue;
      if (search === undefined || session.matches(search)) found.push(conversation);
    }
    return Promise.resolve(found.sort(byActivity).slice(0, limit));
  }

  rename(sessionId: string, claims: readonly SessionOwner[], title: string): Promise<void> {
    return this.#within(sessionId, (session) => session.setTitle(title, "user"), claims);
  }

  suggestTitle(sessionId: string, title: string): Promise<void> {
    return this.#within(sessionId, (session) => session.setTitle(title, "model"));
  }

  setArchived(sessionId: string, claims: readonly SessionOwner[], isArchived: boolean): Promise<void> {
    return this.#within(sessionId, (session) => session.setArchived(isArchived), claims);
  }

  remove(sessionId: string): Promise<void> {
    this.#sessions.get(sessionId)?.forget();
    this.#sessions.delete(sessionId);
    return Promise.resolve();
  }

  commit(sessionId: string, write: LogWrite): Promise<Committed> {
    return this.#within(sessionId, (session) => session.commit(write, this.#workerId));
  }

  read(sessionId: string, range: LogRange): Promise<LogPage> {
    return this.#within(sessionId, (session) => session.read(range, this.#workerId));
  }

  readVisible(sessionId: string, range: VisibleRange): Promise<VisiblePage> {
    return this.#within(sessionId, (session) => session.readVisible(range));
  }

  heads(sessionIds: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const heads = new Map<string, number>();
    for (const id of sessionIds) {
      const session = this.#sessions.get(id);
      if (session !== undefined) heads.set(id, session.lastSeq);
    }
    return Promise.resolve(heads);
  }

  recordFeedback(sessionId: string, feedback: Feedback): Promise<{ repeated: boolean }> {
    return this.#within(sessionId, (session) => session.recordFeedback(feedback));
  }

  #ofChat(chatId: string, owner: SessionOwner): MemorySession | undefined {
    for (const session of this.#sessions.values()) {
      if (session.record.chatId === chatId && isSameOwner(owner, session.record.owner)) return session;
    }
    return undefined;
  }

  /** What goes wrong rejects, as it would where the session is far away. Without `claims` it may be anyone's. */
  #within<T>(
    sessionId: string,
    work: (session: MemorySession) => T,
    claims?: readonly SessionOwner[],
  ): Promise<T> {
    const session = this.#sessions.get(sessionId);
    if (session === undefined || claims !== undefined && !isOwner(session, claims)) {
      return Promise.reject(new AgentError("unknown_session", "Cannot reach the session: it has ended"));
    }
    try {
      return Promise.resolve(work(session));
    } catch (error) {
      return Promise.reject(error);
    }
  }
}

/** The most recently active first. */
function byActivity(a: Conversation, b: Conversation): number {
  const [idA, idB] = [a.record.sessionId, b.record.sessionId];
  return b.lastActivity - a.lastActivity || (idA < idB ? 1 : idA > idB ? -1 : 0);
}

function isOwner({ record }: MemorySession, claims: readonly SessionOwner[]): boolean {
  return claims.some((claim) => isSameOwner(claim, record.owner));
}

/** Hashes are compared whole: what an early end would tell is nothing about the token itself. */
function isSameOwner(a: SessionOwner, b: SessionOwner): boolean {
  if (a.kind === "user") return b.kind === "user" && a.userId === b.userId;
  return b.kind === "anonymous" && a.tokenHash === b.tokenHash;
}
