/**
 * Every connection of this worker, and what becomes of its frames.
 *
 * `http/` brings the sockets. A frame goes `connection → #onFrame → session`.
 */

import { checkRenewal, identify, type Identity, type IdentityPolicy } from "../guard/identity.ts";
import type { Socket } from "../ports/runtime.ts";
import type { ClientFrame, CommandFrame } from "../protocol/client_frames.ts";
import { CLOSE } from "../protocol/close_codes.ts";
import { renderStatus } from "../protocol/render.ts";
import type { SessionCall } from "../protocol/session_call.ts";
import { Admission, type AdmissionOptions } from "./admission.ts";
import { Carriers } from "./carriers.ts";
import { takeFromPerson } from "./feedback_frames.ts";
import { runCommand, type SessionCommand } from "./commands.ts";
import { Connection, type ConnectionDeps, NO_CLOSE_FRAME } from "./connection.ts";
import { drainSessions, sendAway } from "./draining.ts";
import { Handshake } from "./handshake.ts";
import { Heartbeats } from "./heartbeats.ts";
import type { IncomingRequest } from "./incoming_request.ts";
import { SessionRegistry } from "./registry.ts";
import type { OpenedSession, RegistryOptions } from "./registry_options.ts";
import { Notices } from "./notices.ts";
import { quotaKeysOf, userKey } from "./quota_keys.ts";
import { HeadPoller } from "./head_poller.ts";
import { howOpened, renderWelcome } from "./welcome.ts";
import { TokenExpiry } from "./token_expiry.ts";

/** How long a peer may take to answer a close when the worker ends. */
const CLOSE_TIMEOUT_MS = 1000;

export interface AgentServerOptions {
  identity: IdentityPolicy;
  registry: RegistryOptions;
  connection: Omit<ConnectionDeps, "onOpened" | "onFrame" | "onDetached" | "onReleased">;
  /** Whom there is room for. */
  admission: AdmissionOptions;
  /** How long a connection may take to say who it is. */
  authTimeoutMs: number;
  tokenExpiryNoticeMs: number;
  heartbeatIntervalMs: number;
  /** How long a running turn may take when the worker shuts down, in milliseconds; 0 for no limit. */
  drainTimeoutMs: number;
  /** Has another worker go on with a session that nobody is connected to. Never rejects. */
  wakeElsewhere?: ((sessionId: string) => Promise<void>) | undefined;
  /** Part of the welcome frame. */
  limits: Readonly<Record<string, number>>;
}

export class AgentServer {
  /** Receives notifications from other functions. */
  readonly notices: Notices;
  /** Accepts sockets that carry several connections. */
  readonly carriers: Carriers;
  readonly #options: AgentServerOptions;
  readonly #connectionDeps: ConnectionDeps;
  readonly #registry: SessionRegistry;
  readonly #headPoller: HeadPoller;
  readonly #handshake: Handshake;
  readonly #heartbeats: Heartbeats;
  readonly #tokenExpiry: TokenExpiry;
  readonly #admission: Admission;
  #isDraining = false;
  #onAllClosed: (() => void) | undefined;

  constructor(options: AgentServerOptions) {
    const { connection, identity, authTimeoutMs } = options;
    const { clock, log } = connection;
    this.#options = options;
    this.#admission = new Admission(options.admission);
    this.#registry = new SessionRegistry(options.registry);
    this.carriers = new Carriers({
      admission: this.#admission,
      lifetime: options.registry.session.lifetime,
      ready: options.registry.ready,
      onReleased: () => this.#onSocketGone(),
    });
    this.notices = new Notices({
      registry: this.#registry,
      clock,
      log,
      lifetime: options.registry.session.lifetime,
    });
    this.#headPoller = new HeadPoller({
      ...options.registry.session,
      isDurable: options.registry.isDurable,
      sessions: () => this.#registry.values(),
    });
    this.#heartbeats = new Heartbeats(clock, options.heartbeatIntervalMs);
    this.#tokenExpiry = new TokenExpiry(clock, options.tokenExpiryNoticeMs);
    this.#handshake = new Handshake({
      clock,
      log,
      identity,
      authTimeoutMs,
      enter: (connection, identity) => this.#enter(connection, identity),
    });
    this.#connectionDeps = {
      ...connection,
      onOpened: (connection) => this.#onOpened(connection),
      onFrame: (connection, frame) => this.#onFrame(connection, frame),
      onDetached: (connection) => this.#onDetached(connection),
      onReleased: (connection) => this.#onReleased(connection),
    };
  }

  get isDraining(): boolean {
    return this.#isDraining;
  }

  /** Current numbers. */
  count(): { sessions: number; connections: number; runningTurns: number } {
    let runningTurns = 0;
    for (const session of this.#registry.values()) if (session.isRunning) runningTurns++;
    return { sessions: this.#registry.size, connections: this.#admission.size, runningTurns };
  }

  /** Handles a message from another worker about a session that this worker may hold. */
  receive(sessionId: string, call: SessionCall): void {
    this.#registry.get(sessionId)?.receive(call);
  }

  /** Opens a session that nobody is connected to, for a turn that can go on: see {@linkcode SessionRegistry.wake}. */
  async wake(sessionId: string): Promise<boolean> {
    await this.#options.registry.ready?.();
    return await this.#registry.wake(sessionId, () => !this.#isDraining);
  }

  /** Messages of other workers may have been lost. */
  pollHeads(): void {
    this.#headPoller.pollNow();
  }

  /** Accepts a socket that is being upgraded. Its owner calls `opened`, `received` and `lost` on the result. */
  connect(socket: Socket, request: IncomingRequest): Connection {
    const { ids, lifetime } = this.#options.registry.session;
    const connection = new Connection(ids.uuid(), socket, request, this.#connectionDeps);
    if (request.isCarried === true) return connection;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#admission.add(connection, resolve);
    lifetime.hold(promise);
    return connection;
  }

  /**
   * Accepts no more turns and closes every connection: idle ones now, the others when their answer is complete, or after
   * `drainTimeoutMs`. Resolves when the last writes are done and every socket has closed, or has had
   * {@linkcode CLOSE_TIMEOUT_MS} to close.
   */
  async drain(reason: string): Promise<void> {
    if (this.#isDraining) return;
    this.#isDraining = true;
    const { connection: { clock, log }, drainTimeoutMs: timeoutMs, registry, wakeElsewhere } = this.#options;
    log.write({ level: "info", event: "draining", reason, ...this.count() });
    for (const connection of this.#handshake.connections) sendAway(connection, clock);
    this.carriers.drain();
    const { isDurable } = registry;
    const options = { clock, timeoutMs, isDurable, wakeElsewhere };
    const { written } = await drainSessions([...this.#registry.values()], options);
    this.#registry.stop();
    this.#headPoller.stop();
    await Promise.all([this.#allClosed(), written]);
    log.write({ level: "info", event: "drained", reason });
  }

  async #allClosed(): Promise<void> {
    if (this.#admission.size === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onAllClosed = resolve;
    const cancelTimer = this.#options.connection.clock.after(CLOSE_TIMEOUT_MS, () => {
      for (const holder of [...this.#admission.holders]) holder.lost(NO_CLOSE_FRAME);
    });
    await promise;
    cancelTimer();
  }

  #onOpened(connection: Connection): void {
    if (this.#isDraining) return sendAway(connection, this.#options.connection.clock);
    try {
      if (connection.request.isCarried !== true) this.#admission.open(connection);
    } catch (thrown) {
      return this.#handshake.refuse(connection, thrown);
    }
    this.#handshake.start(connection);
  }

  async #enter(connection: Connection, identity: Identity): Promise<void> {
    // Whether a user is to be counted at all workers depends on it.
    await this.#options.registry.ready?.();
    if (connection.isGone) return;
    connection.identity = identity;
    // Before there is a session: one that is refused leaves none behind.
    if (identity.kind === "user" && connection.request.isCarried !== true) {
      await this.#admission.enterUser(connection, identity.userId);
    }
    if (connection.isGone) return;
    await this.#registry.open(identity, connection.request.resume, {
      beforeCreate: () => this.#admission.chargeSession(connection),
      agent: connection.request.agent,
      enter: (opened) => this.#enterSession(connection, identity, opened),
    });
  }

  /** Gives a connection its session, the welcome, and what it missed. */
  #enterSession(connection: Connection, identity: Identity, opened: OpenedSession): void {
    const { session, resumed } = opened;
    if (identity.kind === "anonymous") this.#admission.checkSession(session.connectionCount);
    if (!connection.enter(session)) return;
    const { address } = connection.request;
    connection.quotaKeys = identity.kind === "user"
      ? [userKey(identity.userId)]
      : quotaKeysOf(session.record, address);
    session.touch();
    this.#welcome(connection, opened);
    session.attach(connection, {
      cursor: resumed === undefined ? 0 : resumed.from_seq - 1,
      isResumed: connection.request.resume !== undefined,
    });
    this.#headPoller.start(session.record.sessionId);
    if (identity.kind === "user") this.#tokenExpiry.watch(connection, identity.expiresAt);
    if (connection.request.heartbeat) this.#heartbeats.add(connection);
  }

  #welcome(connection: Connection, opened: OpenedSession): void {
    const { connection: { clock, log, metrics }, registry, limits } = this.#options;
    const how = howOpened(opened);
    metrics.count("sessions_opened_total", how);
    log.write({
      level: "info",
      event: "connection_ready",
      connection_id: connection.id,
      session_id: opened.session.record.sessionId,
      how,
    });
    connection.send(renderWelcome(connection.id, opened, {
      now: clock.now(),
      isDurable: registry.isDurable(opened.session.record.sessionId),
      limits,
    }));
  }

  #onFrame(connection: Connection, frame: ClientFrame): void | Promise<void> {
    if (this.#handshake.intercept(connection, frame)) return;
    const { session } = connection;
    if (session === undefined) return;
    session.touch();
    if (frame.type === "query") return session.submit(connection, frame);
    if (frame.type === "human_feedback" || frame.type === "tool_result") {
      return takeFromPerson(frame, { connection, session, clock: this.#options.connection.clock });
    }
    if (frame.verb === "auth") return this.#renewToken(connection, frame);
    const { connection: { clock }, registry } = this.#options;
    return runCommand({ connection, session, frame: frame as SessionCommand }, {
      clock,
      isDurable: registry.isDurable(session.record.sessionId),
      store: registry.store,
      eventLog: registry.session.eventLog,
      deleteSession: (session, onDeleted) => this.#registry.remove(session, onDeleted),
      deleteOther: (sessionId, owner, onDeleted) => this.#registry.removeOther(sessionId, owner, onDeleted),
    });
  }

  async #renewToken(connection: Connection, frame: CommandFrame & { verb: "auth" }): Promise<void> {
    const { identity: policy, connection: { clock } } = this.#options;
    const current = connection.identity;
    const renewed = await identify(frame.args.token, policy, connection.request.address);
    if (current === undefined || connection.isGone) return;
    const refusal = checkRenewal(current, renewed);
    if (refusal !== undefined) {
      // Somebody else's token on this socket is no mistake to go on from; a late sign-in is.
      if (current.kind === "anonymous") throw refusal;
      connection.sendError(refusal, frame.id);
      return connection.close(CLOSE.forbidden);
    }
    if (renewed.kind === "user") {
      connection.identity = renewed;
      this.#tokenExpiry.watch(connection, renewed.expiresAt);
    }
    const fields = frame.id === undefined ? {} : { in_reply_to: frame.id };
    connection.send(renderStatus("auth_ok", "Authenticated", clock.now(), fields));
  }

  #onDetached(connection: Connection): void {
    connection.session?.detach(connection);
    this.#tokenExpiry.forget(connection);
    this.#heartbeats.delete(connection);
  }

  #onReleased(connection: Connection): void {
    this.#handshake.forget(connection);
    this.#admission.release(connection);
    this.#onSocketGone();
  }

  #onSocketGone(): void {
    if (this.#admission.size === 0) this.#onAllClosed?.();
  }
}
