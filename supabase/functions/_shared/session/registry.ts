/** The sessions of this worker: opened, resumed, removed, bounded in number and in what they keep. */

import { AgentError } from "../errors.ts";
import type { Identity } from "../guard/identity.ts";
import type { SessionOwner, SessionRecord, StoredSession } from "../ports/session_store.ts";
import type { ResumeRequest } from "../protocol/connect_request.ts";
import { eventsFor } from "./core/history.ts";
import type { CoreSettings } from "./core/state.ts";
import { DELETED, type Ending, EXPIRED } from "./ending.ts";
import { announceExpiry, IdleSweep } from "./idle_sweep.ts";
import { relieveMemory } from "./memory_relief.ts";
import type { EnterSession, Opening, RegistryOptions } from "./registry_options.ts";
import { Removals } from "./removals.ts";
import { judgeResume, newSession, unknownSession } from "./resume.ts";
import { type Lack, type Place, Room } from "./room.ts";
import { Session } from "./session.ts";
import { findRequested, newRecord, ownerOf } from "./session_lookup.ts";

/** Times that a chat is looked for and made, while others make and delete it. */
const MAX_ATTEMPTS = 5;

/** Ids of the sessions that were removed while one was looked for. */
type Search = Set<string>;

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
    const { maxHistory, maxEvents, maxQueue, continuePolicy, approvalMs } = settings;
    this.#shared = {
      maxHistory,
      maxEvents,
      maxQueue,
      continuePolicy,
      approvalMs,
      checkpointMs,
      leaseMs,
      renewLeaseMs,
    };
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
    resume: ResumeRequest | undefined,
    { beforeCreate, agent, enter }: Opening,
  ): Promise<void> {
    let isCharged = false;
    for (let attempt = 1;; attempt++) {
      if (resume !== undefined && await this.#resume(identity, resume, enter)) return;
      if (resume?.mustExist === true) {
        throw new AgentError("unknown_session", "Cannot open the chat: there is none of this id");
      }
      if (!isCharged) beforeCreate?.();
      isCharged = true;
      try {
        return await this.#create(identity, { ...resume, agent }, enter);
      } catch (error) {
        // Another connection has made the chat's session meanwhile, at this worker or another.
        if (!isChatTaken(error)) throw error;
        if (attempt === MAX_ATTEMPTS) {
          const words = "Cannot open the chat: it is being created and deleted";
          throw new AgentError("store_unavailable", words, { retryable: true, cause: error });
        }
      }
    }
  }

  /** Opens a session without a connection, unless there is none or `mayHold` forbids it then. Returns whether it is open. Rejects as `open`. */
  async wake(sessionId: string, mayHold: () => boolean): Promise<boolean> {
    const { store, session: { settings } } = this.#options;
    const owner = await ownerOf(store, sessionId);
    if (owner === undefined) return false;
    return await this.#searching(async (search) => {
      const stored = await store.find(sessionId, [owner], { tail: eventsFor(settings.maxHistory) });
      if (stored === undefined) return false;
      const enter = (session: Session): void => {
        session.touch();
        session.catchUp(stored.tail.lastSeq);
      };
      return await this.#restore(stored, search, enter, mayHold);
    });
  }

  /**
   * Deletes a session from the store, then calls `onRemoved` and closes its connections. Concurrent calls are one removal.
   * Rejects as the store does: the session is then unchanged, and can be removed again.
   */
  remove(session: Session, onRemoved: () => void): Promise<void> {
    return this.#remove(session, DELETED, onRemoved);
  }

  /**
   * The same for a session that this worker need not hold. Rejects with `unknown_session` if `owner` has no such session, and then
   * does not call `onRemoved`.
   */
  async removeOther(sessionId: string, owner: SessionOwner, onRemoved: () => void): Promise<void> {
    const stored = await this.#options.store.find(sessionId, [owner], { tail: 0 });
    if (stored === undefined) {
      throw new AgentError("unknown_session", "Cannot delete session: there is none with this id");
    }
    const held = this.#sessions.get(sessionId);
    if (held !== undefined) return await this.remove(held, onRemoved);
    await this.#takeOut(stored.record, DELETED);
    onRemoved();
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
    return this.#removals.start(session, () => this.#takeOut(session.record, ending), onRemoved);
  }

  async #takeOut(record: SessionRecord, ending: Ending): Promise<void> {
    const { store, session: { activity, call } } = this.#options;
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
  #resume(identity: Identity, resume: ResumeRequest, enter: EnterSession): Promise<boolean> {
    return this.#searching(async (search) => {
      const { store, session: { settings } } = this.#options;
      const tail = eventsFor(settings.maxHistory);
      const stored = await findRequested(store, identity, { ...resume, tail });
      if (stored === undefined) return false;
      const resumeToken = stored.record.owner.kind === "anonymous" ? resume.token : undefined;
      const resumed = judgeResume(stored.tail, resume.lastSeq);
      return await this.#restore(stored, search, (session) => enter({ session, resumeToken, resumed }));
    });
  }

  async #searching(look: (search: Search) => Promise<boolean>): Promise<boolean> {
    const search: Search = new Set();
    this.#searches.add(search);
    try {
      return await look(search);
    } finally {
      this.#searches.delete(search);
    }
  }

  /**
   * Calls `enter` with the session from memory, brought up to date, or from the store. Resolves to false if it was removed
   * meanwhile.
   */
  async #restore(
    stored: StoredSession,
    search: Search,
    enter: (session: Session) => void,
    mayHold: () => boolean = () => true,
  ): Promise<boolean> {
    const { record: { sessionId }, tail } = stored;
    while (!search.has(sessionId) && mayHold()) {
      const known = this.#sessions.get(sessionId);
      if (known === undefined) {
        // Another connection may have loaded it meanwhile.
        const isWanted = (): boolean => !search.has(sessionId) && !this.#sessions.has(sessionId) && mayHold();
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

  async #create(
    identity: Identity,
    wanted: Partial<ResumeRequest> & { agent: string | undefined },
    enter: EnterSession,
  ): Promise<void> {
    const { store, session: deps } = this.#options;
    await this.#room.reserve(async (place) => {
      const { record, resumeToken } = await newRecord(identity, wanted, deps);
      await store.create(record);
      const session = this.#hold(newSession(record), place);
      deps.activity.session(record, "created");
      enter({ session, resumeToken, resumed: unknownSession(wanted) });
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
    // A durable store keeps it until it is pruned, and another worker may be using it.
    say();
    this.#end(session, EXPIRED);
    return Promise.resolve();
  }
}

function isChatTaken(error: unknown): boolean {
  return error instanceof AgentError && error.code === "chat_exists";
}
