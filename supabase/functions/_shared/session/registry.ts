/** The sessions of this worker: opened, resumed, swept when idle, bounded in number. */

import { AgentError } from "../errors.ts";
import { sha256Hex } from "../guard/digest.ts";
import type { Identity } from "../guard/identity.ts";
import type {
  CancelTimer,
  LogPage,
  SessionOwner,
  SessionRecord,
  SessionStore,
  StoredSession,
} from "../ports.ts";
import { CLOSE, type Closing } from "../protocol/close_codes.ts";
import type { ConnectRequest } from "../protocol/connect_request.ts";
import { stamp } from "../protocol/render.ts";
import type { NotificationFrame } from "../protocol/server_frames.ts";
import { Session, type SessionDeps } from "./session.ts";

/** Events of a tail that are no messages: notifications, clearings. */
const SPARE_TAIL = 50;

export interface RegistryOptions {
  store: SessionStore;
  /** Whether a session outlives the worker: then what leaves its memory is still in the store. */
  isDurable(sessionId: string): boolean;
  /** Settles when that is known. */
  ready?(): Promise<void>;
  /** Forgets in the store what nobody has used for long: at each sweep, while there are sessions that are durable. */
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

/** How a resume went; `events from_seq … to_seq` are what is replayed. */
export type Resumed = NonNullable<NotificationFrame["resumed"]>;

export interface OpenedSession {
  session: Session;
  /** Of an anonymous session: what resumes it. */
  resumeToken: string | undefined;
  /** Undefined where no resume was asked for. */
  resumed: Resumed | undefined;
}

export class SessionRegistry {
  readonly #options: RegistryOptions;
  readonly #sessions = new Map<string, Session>();
  #cancelSweep: CancelTimer | undefined;

  constructor(options: RegistryOptions) {
    this.#options = options;
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
   * Resumes the session asked for, or opens a fresh one. Whether the other one is unknown, expired or another's makes
   * no difference to the answer. `beforeCreate` is called before a fresh one is made, and refuses it by throwing. Rejects with `too_many_sessions`, `store_unavailable`.
   */
  async open(
    identity: Identity,
    resume: ConnectRequest["resume"],
    { beforeCreate }: { beforeCreate?: () => void } = {},
  ): Promise<OpenedSession> {
    if (resume !== undefined) {
      const stored = await this.#find(identity, resume);
      if (stored !== undefined) {
        const resumeToken = stored.record.owner.kind === "anonymous" ? resume.token : undefined;
        const session = await this.#restore(stored);
        return { session, resumeToken, resumed: judgeResume(stored.tail, resume.lastSeq) };
      }
    }
    beforeCreate?.();
    const resumed: Resumed = { recovered: false, from_seq: 1, to_seq: 0, reason: "unknown_session" };
    return { ...await this.#create(identity), resumed: resume === undefined ? undefined : resumed };
  }

  /** Takes a session off the list and out of the store, and closes its connections. */
  async remove(session: Session, closing: Closing): Promise<void> {
    const { store, session: { activity, call } } = this.#options;
    const { record } = session;
    if (!this.#release(session, closing)) return;
    const forget = (): Promise<void> => store.remove(record.sessionId);
    await activity.timed(record, { operation: "delete", sector: "session" }, forget);
    call(record.sessionId, { kind: "deleted" });
    activity.session(record, "deleted");
  }

  /** Takes a session out of this worker's memory and closes its connections. Answers whether it was there. */
  #release(session: Session, closing: Closing): boolean {
    const { sessionId } = session.record;
    if (this.#sessions.get(sessionId) !== session) return false;
    this.#sessions.delete(sessionId);
    this.#options.onClosed?.(sessionId);
    for (const connection of session.feed.connections) connection.close(closing);
    if (this.#sessions.size === 0) this.stop();
    return true;
  }

  async #find(
    identity: Identity,
    resume: NonNullable<ConnectRequest["resume"]>,
  ): Promise<StoredSession | undefined> {
    const claims: SessionOwner[] = [];
    if (identity.kind === "user") claims.push({ kind: "user", userId: identity.userId });
    // Hashed whether or not the session exists, so that the time taken tells nothing.
    if (resume.token !== undefined) {
      claims.push({ kind: "anonymous", tokenHash: await sha256Hex(resume.token) });
    }
    const { store, session: { settings } } = this.#options;
    return await store.find(resume.sessionId, claims, { tail: 2 * settings.maxHistory + SPARE_TAIL });
  }

  /** The session as this worker has it, brought up to date, or as the store tells it. */
  async #restore(stored: StoredSession): Promise<Session> {
    const known = this.#sessions.get(stored.record.sessionId);
    if (known === undefined) {
      this.#makeRoom();
      return this.#hold(stored);
    }
    await known.feed.catchUp(stored.tail.lastSeq);
    return known;
  }

  #hold(stored: StoredSession): Session {
    const { sessionId } = stored.record;
    const session: Session = new Session(stored, {
      deps: this.#options.session,
      onGone: () => this.#onGone(session),
    });
    this.#sessions.set(sessionId, session);
    this.#options.onOpened?.(sessionId);
    this.#sweepLater();
    return session;
  }

  /** Somebody has deleted it, at another worker or in the store. */
  #onGone(session: Session): void {
    session.abandon(new AgentError("shutting_down", "Cannot take query: the session was deleted"));
    this.#release(session, CLOSE.sessionDeleted);
  }

  async #create(identity: Identity): Promise<Omit<OpenedSession, "resumed">> {
    const { store, session: deps } = this.#options;
    this.#makeRoom();
    const resumeToken = identity.kind === "anonymous" ? deps.ids.secret() : undefined;
    const owner: SessionOwner = identity.kind === "user"
      ? { kind: "user", userId: identity.userId }
      : { kind: "anonymous", tokenHash: await sha256Hex(resumeToken ?? "") };
    const record: SessionRecord = { sessionId: deps.ids.uuid(), owner, createdAt: deps.clock.now() };
    await store.create(record);
    const session = this.#hold(newSession(record));
    deps.activity.session(record, "created");
    return { session, resumeToken };
  }

  /** The session that was left longest ago goes first; one that somebody holds or that runs stays. */
  #makeRoom(): void {
    const { maxSessions } = this.#options;
    if (maxSessions === 0 || this.#sessions.size < maxSessions) return;
    let oldest: Session | undefined;
    for (const session of this.#sessions.values()) {
      if (session.feed.connections.size > 0 || session.isRunning) continue;
      if (oldest === undefined || session.lastActivity < oldest.lastActivity) oldest = session;
    }
    if (oldest === undefined) {
      throw new AgentError("too_many_sessions", "Cannot open a session: this worker holds all it can", {
        retryable: true,
        retryAfterMs: 5000,
      });
    }
    this.#expire(oldest);
  }

  #sweepLater(): void {
    const { idleTimeoutMs, sweepIntervalMs, isDurable, prune, session: { clock, lifetime } } = this.#options;
    if (idleTimeoutMs === 0 && prune === undefined) return;
    this.#cancelSweep ??= clock.after(sweepIntervalMs, () => {
      this.#cancelSweep = undefined;
      let hasDurable = false;
      for (const session of [...this.#sessions.values()]) {
        const survives = isDurable(session.record.sessionId);
        hasDurable ||= survives;
        if (idleTimeoutMs > 0 && clock.now() - session.lastActivity > idleTimeoutMs) this.#expire(session);
        else if (survives) lifetime.hold(session.keepAlive());
      }
      if (hasDurable) this.#prune();
      if (this.#sessions.size > 0) this.#sweepLater();
    });
  }

  #prune(): void {
    const { prune, session: { log, lifetime } } = this.#options;
    if (prune === undefined) return;
    lifetime.hold(prune().catch((error) => log.write({ level: "warn", event: "prune_failed", error })));
  }

  /** Looks for idle sessions no more: the worker is ending. */
  stop(): void {
    this.#cancelSweep?.();
    this.#cancelSweep = undefined;
  }

  #expire(session: Session): void {
    const { session: { clock, log, lifetime }, isDurable } = this.#options;
    session.abandon(
      new AgentError("shutting_down", "Cannot take query: the session has expired", { retryable: true }),
    );
    for (const connection of session.feed.connections) {
      connection.send({
        type: "notification",
        code: "session_timeout",
        content: "Session closed due to inactivity",
        timestamp: stamp(clock.now()),
      });
    }
    log.write({ level: "info", event: "session_expired", session_id: session.record.sessionId });
    // The store knows by itself when it has expired, and another worker may have it in use.
    if (isDurable(session.record.sessionId)) return void this.#release(session, CLOSE.sessionTimeout);
    lifetime.hold(
      this.remove(session, CLOSE.sessionTimeout).catch((error) => {
        log.write({
          level: "error",
          event: "session_remove_failed",
          session_id: session.record.sessionId,
          error,
        });
      }),
    );
  }
}

/** A session that has just been made, as the store would tell it. */
function newSession(record: SessionRecord): StoredSession {
  const lease = { epoch: 0, holder: "nobody", leftMs: 0 } as const;
  return {
    record,
    tail: { events: [], oldestSeq: 1, lastSeq: 0, lease },
    openTurns: [],
    defaults: {},
    notes: [],
  };
}

/** What a client that has seen everything up to `lastSeq` is told about the rest. */
function judgeResume({ oldestSeq, lastSeq: newest }: LogPage, lastSeq: number): Resumed {
  if (lastSeq > newest) {
    return { recovered: false, from_seq: oldestSeq, to_seq: newest, reason: "cursor_ahead" };
  }
  if (lastSeq + 1 < oldestSeq) {
    return { recovered: false, from_seq: oldestSeq, to_seq: newest, reason: "gap" };
  }
  return { recovered: true, from_seq: lastSeq + 1, to_seq: newest };
}
