/** The sessions of this worker: opened, resumed, removed, bounded in number and in what they keep. */

import { AgentError } from "../errors.ts";
import { sha256Hex } from "../guard/digest.ts";
import type { Identity } from "../guard/identity.ts";
import type { SessionOwner, SessionRecord, SessionStore, StoredSession } from "../ports/session_store.ts";
import { CLOSE, type Closing } from "../protocol/close_codes.ts";
import type { ConnectRequest } from "../protocol/connect_request.ts";
import type { CoreSettings } from "./core/state.ts";
import { announceExpiry, IdleSweep } from "./idle_sweep.ts";
import { relieveMemory } from "./memory_relief.ts";
import { Removals } from "./removals.ts";
import { judgeResume, newSession, type Resumed, UNKNOWN_SESSION } from "./resume.ts";
import { type Lack, type Place, Room } from "./room.ts";
import { Session } from "./session.ts";
import type { SessionDeps } from "./session_options.ts";

/** Events of a tail that are no messages: notifications, clearings. */
const SPARE_TAIL = 50;

export interface RegistryOptions {
  store: SessionStore;
  /** Whether sessions outlive the worker: then a session that is dropped from memory is still in the store. */
  isDurable(sessionId: string): boolean;
  /** Settles when that is known. */
  ready?(): Promise<void>;
  /** Deletes expired sessions from the store: at each sweep, while there are durable sessions. */
  prune?(): Promise<unknown>;
  session: SessionDeps;
  /** Milliseconds without a message after which a session ends; 0 for never. */
  idleTimeoutMs: number;
  /** How often idle sessions are looked for. */
  sweepIntervalMs: number;
  /** Sessions kept in memory; 0 for any number. */
  maxSessions: number;
  /** Called when this worker holds a session, and when it no longer does. */
  onOpened?(sessionId: string): void;
  onClosed?(sessionId: string): void;
}

export interface OpenedSession {
  session: Session;
  /** The resume token of an anonymous session. */
  resumeToken: string | undefined;
  /** Undefined if no resume was requested. */
  resumed: Resumed | undefined;
}

/** Receives the opened session, synchronously, so that it cannot be removed in between. */
type EnterSession = (opened: OpenedSession) => void;

export interface Opening {
  /** Called before a new session is created; throws to refuse it. */
  beforeCreate?(): void;
  enter: EnterSession;
}

type Resume = NonNullable<ConnectRequest["resume"]>;

/** Ids of the sessions that were removed while one was looked for. */
type Search = Set<string>;

/** How a session ends at this worker: the error for its queries, and the close code of its connections. */
interface Ending {
  refusal: string;
  retryable: boolean;
  closing: Closing;
}

const DELETED: Ending = {
  refusal: "Cannot take query: the session was deleted",
  retryable: false,
  closing: CLOSE.sessionDeleted,
};
const EXPIRED: Ending = {
  refusal: "Cannot take query: the session has expired",
  retryable: true,
  closing: CLOSE.sessionTimeout,
};

export class SessionRegistry {
  readonly #options: RegistryOptions;
  readonly #sessions = new Map<string, Session>();
  readonly #room: Room;
  readonly #removals = new Removals();
  /** Sessions that are being loaded: one that is removed meanwhile must not come back. */
  readonly #searches = new Set<Search>();
  readonly #sweep: IdleSweep;
  /** Of durable sessions, which other workers may continue, and of sessions in memory. */
  readonly #shared: CoreSettings;
  readonly #alone: CoreSettings;

  constructor(options: RegistryOptions) {
    this.#options = options;
    const { settings, checkpointMs, leaseMs, renewLeaseMs } = options.session;
    const { maxHistory, maxEvents, maxQueue, continuePolicy } = settings;
    this.#shared = { maxHistory, maxEvents, maxQueue, continuePolicy, checkpointMs, leaseMs, renewLeaseMs };
    this.#alone = { ...this.#shared, checkpointMs: Infinity };
    const deps = {
      ...options,
      ...options.session,
      sessions: this.#sessions,
      mayGo: (session: Session, which?: { evenHeld: boolean }): boolean => this.#mayGo(session, which),
      evict: (session: Session, lack: Lack): Promise<void> => this.#evict(session, lack),
      expire: (session: Session): Promise<void> => this.#expire(session),
    };
    this.#room = new Room(deps);
    this.#sweep = new IdleSweep(deps);
    relieveMemory(deps);
  }

  get size(): number {
    return this.#sessions.size;
  }

  get(sessionId: string): Session | undefined {
    return this.#sessions.get(sessionId);
  }

  values(): Iterable<Session> {
    return this.#sessions.values();
  }

  /**
   * Resumes the requested session or opens a new one, and calls `enter` with it. The answer is the same for a session that is
   * unknown, expired or someone else's. Rejects with `too_many_sessions`, `store_unavailable`, `unknown_session` (only if it must exist),
   * and with what the callbacks throw.
   */
  async open(
    identity: Identity,
    resume: Resume | undefined,
    { beforeCreate, enter }: Opening,
  ): Promise<void> {
    if (resume !== undefined && await this.#resume(identity, resume, enter)) return;
    if (resume?.mustExist === true) throw new AgentError("unknown_session", "Cannot open: there is none");
    beforeCreate?.();
    await this.#create(identity, resume, enter);
  }

  /**
   * Deletes a session from the store, then calls `onRemoved` and closes its connections. Concurrent calls are one removal.
   * Rejects as the store does: the session is then unchanged, and can be removed again.
   */
  remove(session: Session, onRemoved: () => void): Promise<void> {
    return this.#remove(session, DELETED, onRemoved);
  }

  /** The store has no such session any more: it was deleted here, at another worker or in the store. */
  gone(session: Session): void {
    this.#endRemoved(session.record.sessionId, DELETED);
  }

  /** Stops looking for idle sessions: the worker is shutting down. */
  stop(): void {
    this.#sweep.stop();
  }

  #remove(session: Session, ending: Ending, onRemoved: () => void): Promise<void> {
    return this.#removals.start(session, () => this.#takeOut(session, ending), onRemoved);
  }

  async #takeOut(session: Session, ending: Ending): Promise<void> {
    const { store, session: { activity, call } } = this.#options;
    const { record } = session;
    const forget = (): Promise<void> => store.remove(record.sessionId);
    await activity.timed(record, { operation: "delete", sector: "session" }, forget);
    this.#endRemoved(record.sessionId, ending);
    call(record.sessionId, { kind: "deleted" });
    activity.session(record, "deleted");
  }

  #endRemoved(sessionId: string, ending: Ending): void {
    for (const search of this.#searches) search.add(sessionId);
    // It may have been dropped and loaded again while it was being removed.
    const session = this.#sessions.get(sessionId);
    if (session !== undefined) this.#end(session, ending);
  }

  /** Drops a session from this worker's memory, refuses its pending requests, and closes its connections. */
  #end(session: Session, { refusal, retryable, closing }: Ending): void {
    const { sessionId } = session.record;
    if (this.#sessions.get(sessionId) !== session) return;
    this.#sessions.delete(sessionId);
    session.abandon(new AgentError("shutting_down", refusal, { retryable }));
    this.#removals.done(session);
    this.#options.onClosed?.(sessionId);
    for (const connection of session.connections) connection.close(closing);
    if (this.#sessions.size === 0) this.stop();
  }

  /** Returns whether the session was found and entered. */
  async #resume(identity: Identity, resume: Resume, enter: EnterSession): Promise<boolean> {
    const search: Search = new Set();
    this.#searches.add(search);
    try {
      const stored = await this.#find(identity, resume);
      if (stored === undefined) return false;
      const resumeToken = stored.record.owner.kind === "anonymous" ? resume.token : undefined;
      const resumed = judgeResume(stored.tail, resume.lastSeq);
      return await this.#restore(stored, search, (session) => enter({ session, resumeToken, resumed }));
    } finally {
      this.#searches.delete(search);
    }
  }

  async #find(identity: Identity, resume: Resume): Promise<StoredSession | undefined> {
    const claims: SessionOwner[] = [];
    if (identity.kind === "user") claims.push({ kind: "user", userId: identity.userId });
    // Hashed whether or not the session exists, so that the time taken reveals nothing.
    if (resume.token !== undefined) {
      claims.push({ kind: "anonymous", tokenHash: await sha256Hex(resume.token) });
    }
    const { store, session: { settings } } = this.#options;
    const tail = 2 * settings.maxHistory + SPARE_TAIL;
    const { sessionId, chatId } = resume;
    const named = sessionId === undefined ? undefined : await store.find(sessionId, claims, { tail });
    if (named !== undefined || chatId === undefined) return named;
    return await store.findByChat(chatId, claims, { tail });
  }

  /**
   * Calls `enter` with the session from memory, brought up to date, or from the store. Resolves to false if it was removed
   * meanwhile.
   */
  async #restore(
    stored: StoredSession,
    search: Search,
    enter: (session: Session) => void,
  ): Promise<boolean> {
    const { record: { sessionId }, tail } = stored;
    while (!search.has(sessionId)) {
      const known = this.#sessions.get(sessionId);
      if (known === undefined) {
        // Another connection may have loaded it meanwhile.
        const isWanted = (): boolean => !search.has(sessionId) && !this.#sessions.has(sessionId);
        const isEntered = await this.#room.reserve((place) => {
          if (!isWanted()) return false;
          enter(this.#hold(stored, place));
          return true;
        });
        if (isEntered) return true;
      } else {
        known.catchUp(tail.lastSeq);
        enter(known);
        return true;
      }
    }
    return false;
  }

  async #create(identity: Identity, resume: Resume | undefined, enter: EnterSession): Promise<void> {
    const { store, session: deps } = this.#options;
    const resumed = resume?.sessionId === undefined ? undefined : UNKNOWN_SESSION;
    const chatId = resume?.chatId;
    await this.#room.reserve(async (place) => {
      const token = chatId === undefined ? undefined : resume?.token;
      const resumeToken = identity.kind === "anonymous" ? token ?? deps.ids.secret() : undefined;
      const owner: SessionOwner = identity.kind === "user"
        ? { kind: "user", userId: identity.userId }
        : { kind: "anonymous", tokenHash: await sha256Hex(resumeToken ?? "") };
      const record: SessionRecord = {
        sessionId: deps.ids.uuid(),
        owner,
        createdAt: deps.clock.now(),
        ...(chatId !== undefined && { chatId }),
      };
      await store.create(record);
      const session = this.#hold(newSession(record), place);
      deps.activity.session(record, "created");
      enter({ session, resumeToken, resumed });
    });
  }

  #hold(stored: StoredSession, place: Place): Session {
    const { sessionId } = stored.record;
    const isDurable = this.#options.isDurable(sessionId);
    const session: Session = new Session(stored, {
      deps: this.#options.session,
      core: isDurable ? this.#shared : this.#alone,
      isLogHere: !isDurable,
      onGone: () => this.gone(session),
    });
    this.#room.taken(place);
    this.#sessions.set(sessionId, session);
    this.#options.onOpened?.(sessionId);
    this.#sweep.start();
    return session;
  }

  #mayGo(session: Session, { evenHeld } = { evenHeld: false }): boolean {
    if (session.connectionCount > 0 && !evenHeld) return false;
    const isHere = this.#sessions.get(session.record.sessionId) === session;
    return isHere && !session.isRunning && !this.#removals.has(session);
  }

  async #evict(session: Session, why: Lack): Promise<void> {
    this.#options.session.metrics.count("sessions_evicted_total", why);
    await this.#expire(session);
  }

  /** Ends an idle session: at this worker, and in a store that is in memory. Rejects as the store does. */
  #expire(session: Session): Promise<void> {
    const { session: deps, isDurable } = this.#options;
    const say = (): void => announceExpiry(session, deps);
    if (!isDurable(session.record.sessionId)) return this.#remove(session, EXPIRED, say);
    // A durable store expires sessions by itself, and another worker may be using this one.
    say();
    this.#end(session, EXPIRED);
    return Promise.resolve();
  }
}
