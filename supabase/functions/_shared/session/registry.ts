/** The sessions of this worker: opened, resumed, swept when idle, bounded in number. */

import { AgentError } from "../errors.ts";
import type { Identity } from "../guard/identity.ts";
import type { CancelTimer, SessionOwner, SessionRecord, SessionStore } from "../ports.ts";
import { CLOSE, type Closing } from "../protocol/close_codes.ts";
import type { ConnectRequest } from "../protocol/connect_request.ts";
import { stamp } from "../protocol/render.ts";
import type { NotificationFrame } from "../protocol/server_frames.ts";
import { Session, type SessionDeps } from "./session.ts";

export interface RegistryOptions {
  store: SessionStore;
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
   * no difference to the answer. Rejects with `too_many_sessions`, `store_unavailable`.
   */
  async open(identity: Identity, resume: ConnectRequest["resume"]): Promise<OpenedSession> {
    if (resume !== undefined) {
      const session = await this.#find(identity, resume);
      if (session !== undefined) {
        const resumeToken = session.record.owner.kind === "anonymous" ? resume.token : undefined;
        return { session, resumeToken, resumed: await judgeResume(session, resume.lastSeq) };
      }
    }
    const resumed: Resumed = { recovered: false, from_seq: 1, to_seq: 0, reason: "unknown_session" };
    return { ...await this.#create(identity), resumed: resume === undefined ? undefined : resumed };
  }

  /** Takes a session off the list, forgets it, and closes its connections. */
  async remove(session: Session, closing: Closing): Promise<void> {
    const { store, session: { activity }, onClosed } = this.#options;
    const { record } = session;
    if (!this.#sessions.delete(record.sessionId)) return;
    onClosed?.(record.sessionId);
    for (const connection of session.feed.connections) connection.close(closing);
    if (this.#sessions.size === 0) this.stop();
    const forget = (): Promise<void> => store.remove(record.sessionId);
    await activity.timed(record, { operation: "delete", sector: "session" }, forget);
    activity.session(record, "deleted");
  }

  async #find(
    identity: Identity,
    resume: NonNullable<ConnectRequest["resume"]>,
  ): Promise<Session | undefined> {
    const claims: SessionOwner[] = [];
    if (identity.kind === "user") claims.push({ kind: "user", userId: identity.userId });
    // Hashed whether or not the session exists, so that the time taken tells nothing.
    if (resume.token !== undefined) claims.push({ kind: "anonymous", tokenHash: await sha256(resume.token) });
    const record = await this.#options.store.find(resume.sessionId, claims);
    return record === undefined ? undefined : this.#sessions.get(record.sessionId);
  }

  async #create(identity: Identity): Promise<Omit<OpenedSession, "resumed">> {
    const { store, session: deps } = this.#options;
    this.#makeRoom();
    const resumeToken = identity.kind === "anonymous" ? deps.ids.secret() : undefined;
    const owner: SessionOwner = identity.kind === "user"
      ? { kind: "user", userId: identity.userId }
      : { kind: "anonymous", tokenHash: await sha256(resumeToken ?? "") };
    const record: SessionRecord = { sessionId: deps.ids.uuid(), owner, createdAt: deps.clock.now() };
    await store.create(record);
    const session = new Session(record, deps);
    this.#sessions.set(record.sessionId, session);
    deps.activity.session(record, "created");
    this.#options.onOpened?.(record.sessionId);
    this.#sweepLater();
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
    const { idleTimeoutMs, sweepIntervalMs, session: { clock } } = this.#options;
    if (idleTimeoutMs === 0) return;
    this.#cancelSweep ??= clock.after(sweepIntervalMs, () => {
      this.#cancelSweep = undefined;
      for (const session of [...this.#sessions.values()]) {
        if (clock.now() - session.lastActivity > idleTimeoutMs) this.#expire(session);
      }
      if (this.#sessions.size > 0) this.#sweepLater();
    });
  }

  /** Looks for idle sessions no more: the worker is ending. */
  stop(): void {
    this.#cancelSweep?.();
    this.#cancelSweep = undefined;
  }

  #expire(session: Session): void {
    const { session: { clock, log, lifetime } } = this.#options;
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

/** What a client that has seen everything up to `lastSeq` is told about the rest. */
async function judgeResume(session: Session, lastSeq: number): Promise<Resumed> {
  const { oldestSeq, lastSeq: newest } = await session.feed.extent();
  if (lastSeq > newest) {
    return { recovered: false, from_seq: oldestSeq, to_seq: newest, reason: "cursor_ahead" };
  }
  if (lastSeq + 1 < oldestSeq) {
    return { recovered: false, from_seq: oldestSeq, to_seq: newest, reason: "gap" };
  }
  return { recovered: true, from_seq: lastSeq + 1, to_seq: newest };
}

async function sha256(text: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
