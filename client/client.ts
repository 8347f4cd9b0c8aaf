/**
 * The client: sends queries and receives answers, and handles network failures itself. docs/CLIENT.md shows how to use
 * it.
 */

import { type Cursor, loadCursor, ownerOf, saveCursor, type SentQuery } from "./cursor.ts";
import { type Deferred, deferred } from "./deferred.ts";
import { Emitter, type Unsubscribe } from "./emitter.ts";
import { AgentClientError, toError, type UnsentQuery } from "./error.ts";
import { closed, Exchange } from "./exchange.ts";
import type { Commands, Feedback, NotificationFrame, ServerFrame, StatusFrame } from "./frames.ts";
import { Link } from "./link.ts";
import type {
  AgentClientOptions,
  AskOptions,
  ClientEvents,
  ClientStatus,
  Closing,
  SessionInfo,
  TokenReason,
} from "./options.ts";
import { type ClientPorts, withDefaults } from "./ports.ts";
import type { Turn } from "./turn.ts";
import type { AgentUIMessage } from "./ui_messages.ts";

/** The only subprotocol that the server selects in its handshake response. */
const SUBPROTOCOL = "agent-websocket.v1";
/** Idempotent commands: executing one twice does no harm. */
const REPEATABLE: readonly string[] = ["help", "ping", "status", "history", "configure", "sessions"];

const CLOSED = "Cannot send: the client is closed";

export class AgentClient {
  readonly #url: URL;
  readonly #options: AgentClientOptions;
  readonly #ports: ClientPorts;
  readonly #events = new Emitter<ClientEvents>();
  readonly #link: Link;
  readonly #exchange: Exchange;
  /** The cursor for resume: the newest event up to which no event is missing. */
  #lastSeq: number;
  /** What the client needs to find its session again. */
  #resume: Pick<Cursor, "sessionId" | "resumeToken" | "owner"> | undefined;
  /** The user of the connection that is being opened. */
  #owner = "";
  #welcome: NotificationFrame | undefined;
  #attempts = 0;
  /** The queries that the last close returned. */
  #unsent: UnsentQuery[] = [];
  /** Closed by the caller or stopped by the server. A new query does not reconnect. */
  #isClosed = false;
  #opening: Deferred<void> | undefined;

  /** `url` is the function's URL: `https://<ref>.supabase.co/functions/v1/agent_websocket`, or the same with `wss:`. */
  constructor(url: string | URL, options: AgentClientOptions = {}) {
    this.#url = new URL(url);
    this.#url.protocol = this.#url.protocol.replace("http", "ws");
    this.#options = options;
    const ports = this.#ports = withDefaults(options);
    this.#link = new Link({
      ...ports,
      hasTokens: options.getToken !== undefined,
      dial: (why) => this.#dial(why),
      onWelcome: (frame) => this.#onWelcome(frame),
      onFrame: (frame) => this.#onFrame(frame),
      onLost: (lost) => this.#onLost(lost),
      onStop: (closing) => this.#onStop(closing),
      onError: (error) => this.#events.emit("error", error),
    });
    this.#exchange = new Exchange({
      ports,
      maxQueued: options.maxQueued ?? 100,
      repeatInterrupted: options.repeatInterrupted ?? true,
      connection: () => this.#link.connection,
      send: (frame) => this.#link.send(frame),
      onTurn: (turn) => {
        if (turn.state !== "running") this.#save();
        this.#events.emit("turn", turn);
      },
      onEnd: () => this.#link.succeed(),
      onError: (error) => this.#events.emit("error", error),
    });
    const cursor = this.#resume = loadCursor(options.storage, this.#key);
    this.#lastSeq = cursor?.lastSeq ?? 0;
    for (const frame of cursor?.pending ?? []) this.#exchange.ask(frame);
  }

  get status(): ClientStatus {
    const { state } = this.#link;
    if (state === "live") return "open";
    if (state === "stopped") return this.#isClosed || this.#welcome ? "closed" : "idle";
    return this.#attempts > 0 ? "reconnecting" : "connecting";
  }

  /** The session; undefined before the first welcome. */
  get session(): SessionInfo | undefined {
    const { session_id: id, connection_id: connectionId, durable, limits } = this.#welcome ?? {};
    if (id === undefined) return undefined;
    const lastSeq = this.#lastSeq;
    return { id, connectionId: connectionId ?? "", durable: durable ?? false, lastSeq, limits: limits ?? {} };
  }

  /** The turns that this client knows, oldest first: its own, other tabs', and after a reload those without an answer. At most 500. */
  get turns(): readonly Turn[] {
    return this.#exchange.turns;
  }

  /** The conversation in {@linkcode AgentClient.turns} as messages of the AI SDK. The same array until something changes. */
  get messages(): AgentUIMessage[] {
    return this.#exchange.messages;
  }

  /** Calls `listener` at each such event, until the returned function is called. */
  on<Name extends keyof ClientEvents>(
    name: Name,
    listener: (payload: ClientEvents[Name]) => void,
  ): Unsubscribe {
    return this.#events.on(name, listener);
  }

  /** Connects, or reconnects after a close. Resolves at the welcome. Rejects with `closed` if the client is stopped. */
  connect(): Promise<void> {
    if (this.#link.connection > 0) return Promise.resolve();
    this.#isClosed = false;
    const { promise } = this.#opening ??= deferred<void>();
    this.#link.start();
    return promise;
  }

  /**
   * Closes the connection and stops reconnecting. Returns the queries that the server never accepted. Their turns, and
   * the turns without an answer yet, fail with `closed`. The session stays, and {@linkcode AgentClient.connect} resumes
   * it. With `forget`, the next connection begins a new session instead (after a sign-out, or for a new chat).
   */
  close({ forget = false }: { forget?: boolean } = {}): UnsentQuery[] {
    this.#isClosed = true;
    this.#unsent = [];
    this.#link.stop({ code: 1000, reason: "Closed by the client" });
    if (forget) this.#forget();
    return this.#unsent;
  }

  /** Sends a query. Connects if the client is not connected yet, or if the session had timed out. */
  query(text: string, options: AskOptions = {}): Turn {
    const { id = this.#ports.createId(), ...fields } = options;
    const known = this.#exchange.get(id);
    if (known !== undefined) return known;
    const frame: SentQuery = { ...fields, type: "query", content: text, id };
    if (this.#isClosed) return this.#exchange.refuse(frame, closed(CLOSED, frame));
    const turn = this.#exchange.ask(frame);
    void this.connect();
    return turn;
  }

  /**
   * Sends a command and resolves with its answer. Rejects with the server's error. Rejects with `connection_lost` if
   * the connection was lost before the answer and a repeated command could do harm (`clear`, `cancel`, `delete`).
   */
  command<V extends keyof Commands>(verb: V, args?: Commands[V]): Promise<StatusFrame> {
    const frame = { type: "command", content: verb, id: this.#ports.createId(), ...(args && { args }) };
    return this.#request(frame, REPEATABLE.includes(verb));
  }

  /** Sends feedback on a turn (`turn_id`; default: the last turn). Sends it again until the server acknowledges it. */
  feedback(feedback: Feedback): Promise<StatusFrame> {
    const frame = { ...feedback, type: "human_feedback", id: this.#ports.createId() };
    return this.#request(frame, true);
  }

  get #key(): string {
    return this.#options.storageKey ?? "agent-websocket";
  }

  #request(frame: { id: string }, isRepeatable: boolean): Promise<StatusFrame> {
    if (!this.#isClosed) void this.connect();
    return this.#isClosed ? Promise.reject(closed(CLOSED)) : this.#exchange.request(frame, isRepeatable);
  }

  async #dial(why: TokenReason): Promise<{ url: string; protocols: string[] }> {
    const token = await this.#token(why);
    this.#owner = ownerOf(token);
    // Never send the previous user's queries in the name of the new user.
    if (this.#resume?.owner && this.#resume.owner !== this.#owner) this.#forget();
    const url = new URL(this.#url);
    const { stream = true, reasoning, replay } = this.#options;
    url.searchParams.set("stream", String(stream));
    if (reasoning) url.searchParams.set("reasoning", "true");
    url.searchParams.set("heartbeat", "true");
    url.searchParams.set("deltas", "short");
    const protocols = [SUBPROTOCOL];
    if (token) protocols.push(`jwt-${token}`);
    if (this.#resume !== undefined) {
      const isFirst = this.#welcome === undefined && replay === "all";
      url.searchParams.set("session_id", this.#resume.sessionId);
      url.searchParams.set("last_seq", String(isFirst ? 0 : this.#lastSeq));
      if (this.#resume.resumeToken) protocols.push(`resume-${this.#resume.resumeToken}`);
    }
    return { url: url.href, protocols };
  }

  async #token(why: TokenReason): Promise<string | undefined> {
    try {
      return await this.#options.getToken?.(why) || undefined;
    } catch (cause) {
      throw new AgentClientError("token_failed", "Cannot get a token", { cause, retryable: true });
    }
  }

  #onWelcome(frame: NotificationFrame): void {
    const { session_id: sessionId = "", resume_token: token, resumed } = frame;
    const isFresh = resumed === undefined || resumed.reason === "unknown_session";
    const resumeToken = token ?? (isFresh ? undefined : this.#resume?.resumeToken);
    this.#lastSeq = isFresh ? 0 : resumed.from_seq - 1;
    this.#resume = { sessionId, owner: this.#owner, ...(resumeToken !== undefined && { resumeToken }) };
    const name = this.#welcome === undefined ? "open" : "reconnected";
    this.#welcome = frame;
    this.#attempts = 0;
    this.#exchange.connected(frame);
    this.#save();
    this.#opening?.resolve(undefined);
    this.#opening = undefined;
    const { session } = this;
    if (session !== undefined) this.#events.emit(name, { session, resumed });
  }

  #onFrame(frame: ServerFrame): void {
    const seq = "seq" in frame ? frame.seq : undefined;
    // Other numbers belong to events that were already seen, or to the answer to a query that was sent twice. That
    // answer can arrive before the replay.
    const isNext = seq === this.#lastSeq + 1;
    if (isNext) this.#lastSeq++;
    const isNews = seq === undefined || isNext;
    const id = frame.type === "query" ? frame.id : "in_reply_to" in frame ? frame.in_reply_to : undefined;
    // An event that was already seen carries no news, except for a query that was sent again.
    if (id !== undefined) {
      if (isNews || this.#exchange.get(id) !== undefined) this.#exchange.take(id, frame, seq !== undefined);
    } else if (frame.type === "error") this.#events.emit("error", toError(frame));
    if (isNext) this.#save();
    if (!isNews) return;
    this.#exchange.observe(frame);
    if (frame.type === "notification") this.#onNotification(frame);
    // A status that another function sent.
    else if (frame.type === "status" && frame.id !== undefined) this.#events.emit("notification", frame);
    this.#events.emit("message", frame);
  }

  #onNotification(frame: NotificationFrame): void {
    if (frame.code === "token_expiring" && frame.seq === undefined) void this.#renewToken();
    this.#events.emit("notification", frame);
  }

  async #renewToken(): Promise<void> {
    if (this.#options.getToken === undefined) return;
    try {
      const token = await this.#token("expiring");
      const frame = { type: "command", content: "auth", id: this.#ports.createId(), args: { token } };
      if (token && this.#link.connection > 0) await this.#exchange.request(frame, false);
    } catch (error) {
      // When the old token expires, the server closes the connection, and the client asks for a token again.
      if (error instanceof AgentClientError) this.#events.emit("error", error);
    }
  }

  #onLost(lost: Closing & { attempt: number; delayMs: number }): void {
    this.#attempts = lost.attempt;
    this.#exchange.disconnected();
    this.#events.emit("reconnecting", lost);
  }

  #onStop(closing: Closing): void {
    const isTimeout = closing.code === 1000 && !this.#isClosed;
    this.#isClosed = !isTimeout;
    this.#attempts = 0;
    const words = `The connection was closed with ${closing.code} ${closing.reason}`;
    const { unsent, taken } = this.#exchange.abandon(words);
    if (isTimeout || closing.code === 4003 || closing.code === 4009) this.#resume = undefined;
    // The session may still answer the queries that it accepted.
    this.#save(taken);
    this.#unsent = unsent;
    this.#opening?.reject(closed(words));
    this.#opening = undefined;
    this.#events.emit("close", { ...closing, unsent });
  }

  /** The next connection begins a new session. */
  #forget(): void {
    this.#exchange.abandon("The session was left");
    this.#resume = undefined;
    this.#lastSeq = 0;
    this.#save();
  }

  #save(pending = this.#exchange.questions): void {
    const { storage } = this.#options;
    if (storage === undefined) return;
    const cursor = this.#resume && { ...this.#resume, lastSeq: this.#lastSeq, pending };
    saveCursor(storage, this.#key, cursor);
  }
}
