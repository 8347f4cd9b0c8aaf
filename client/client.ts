/**
 * The client: sends queries and receives answers, and handles network failures itself. docs/CLIENT.md shows how to use
 * it.
 */

import { CommandSender } from "./command_sender.ts";
import { ownerOf, type SentQuery } from "./cursor.ts";
import { type Deferred, deferred } from "./deferred.ts";
import { Emitter, type Unsubscribe } from "./emitter.ts";
import { endpointOf, withParameters } from "./endpoint.ts";
import { AgentClientError, toError, type UnsentQuery } from "./error.ts";
import { closed, Exchange } from "./exchange.ts";
import type { NotificationFrame, ServerFrame, StatusFrame } from "./frames.ts";
import { KeptSession } from "./kept_session.ts";
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
import { Tokens } from "./tokens.ts";
import type { Turn } from "./turn.ts";
import type { TurnRecord } from "./turn_record.ts";
import type { AgentUIMessage } from "./ui_messages.ts";

/** The only subprotocol that the server selects in its handshake response. */
const SUBPROTOCOL = "agent-websocket.v1";

/** A subclass takes the same arguments. */
type Constructor<T> = new (url: string, options: AgentClientOptions) => T;

const CLOSED = "Cannot send: the client is closed";

export class AgentClient extends CommandSender {
  readonly #endpoint: string;
  readonly #options: AgentClientOptions;
  readonly #ports: ClientPorts;
  readonly #events = new Emitter<ClientEvents>();
  readonly #link: Link;
  readonly #exchange: Exchange;
  readonly #tokens: Tokens;
  readonly #session: KeptSession;
  readonly #chats = new Map<string, this>();
  /** The user of the connection that is being opened. */
  #owner = "";
  #attempts = 0;
  /** The queries that the last close returned. */
  #unsent: UnsentQuery[] = [];
  /** Closed by the caller or stopped by the server. A new query does not reconnect. */
  #isClosed = false;
  #opening: Deferred<void> | undefined;

  /** `url` is the function's URL: `https://<ref>.supabase.co/functions/v1/agent_websocket`, or the same with `wss:`. */
  constructor(url: string | URL, options: AgentClientOptions = {}) {
    super();
    this.#endpoint = endpointOf(url);
    this.#options = options;
    const ports = this.#ports = withDefaults(options);
    this.#tokens = new Tokens(options.getToken?.bind(options), ports.clock);
    this.#link = new Link({
      ...ports,
      hasTokens: options.getToken !== undefined,
      isNeeded: () => this.#exchange.isWaiting,
      dial: (why) => this.#dial(why),
      onWelcome: (frame) => this.#onWelcome(frame),
      onFrame: (frame) => this.#onFrame(frame),
      onLost: (lost) => this.#onLost(lost),
      onStop: (closing, isIdle) => this.#onStop(closing, isIdle),
      onError: (error) => this.#events.emit("error", error),
    });
    this.#exchange = new Exchange({
      ports,
      maxQueued: options.maxQueued ?? 100,
      repeatInterrupted: options.repeatInterrupted ?? true,
      isCaughtUp: () => this.#session.isCaughtUp,
      connection: () => this.#link.connection,
      send: (frame) => this.#link.send(frame),
      save: () => this.#save(),
      onTurn: (turn) => {
        if (turn.isMine && turn.state !== "running") this.#save();
        this.#events.emit("turn", turn);
      },
      onEnd: () => this.#link.succeed(),
      onError: (error) => this.#events.emit("error", error),
    });
    const { chatId, storage, storageKey = "agent-websocket" } = options;
    this.#session = new KeptSession(storage, chatId === undefined ? storageKey : `${storageKey}:${chatId}`);
    this.#exchange.restore(this.#session.stored);
    if (this.#exchange.isWaiting) this.#save();
  }

  get status(): ClientStatus {
    const { state } = this.#link;
    if (state === "live") return "open";
    if (state === "stopped") return this.#isClosed ? "closed" : "idle";
    return this.#attempts > 0 ? "reconnecting" : "connecting";
  }

  /** The session; undefined before the first welcome. */
  get session(): SessionInfo | undefined {
    return this.#session.info;
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
    for (const chat of this.#chats.values()) chat.close({ forget });
    this.#chats.clear();
    this.#isClosed = true;
    this.#unsent = [];
    this.#link.stop({ code: 1000, reason: "Closed by the client" });
    if (forget) this.#forget();
    return this.#unsent;
  }

  /**
   * The client of the conversation with this id, with the same options and a connection of its own. The same id gives the
   * same client, until this client is closed: that closes its chats too.
   */
  chat(id: string): this {
    const known = this.#chats.get(id);
    if (known !== undefined) return known;
    const chat = new (this.constructor as Constructor<this>)(this.#endpoint, {
      ...this.#options,
      chatId: id,
    });
    this.#chats.set(id, chat);
    return chat;
  }

  /**
   * The app is in the foreground again, or the network is back: reconnects at once, or checks the connection and replaces
   * it within 2 s if it is dead. Browsers do this by themselves. Call it where there is no `window`, as in React Native.
   */
  wake(): void {
    this.#link.wake();
    for (const chat of this.#chats.values()) chat.wake();
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

  protected override request(frame: object, isRepeatable: boolean): Promise<StatusFrame> {
    if (this.#isClosed) return Promise.reject(closed(CLOSED));
    void this.connect();
    return this.#exchange.request({ ...frame, id: this.#ports.createId() }, isRepeatable);
  }

  async #dial(why: TokenReason): Promise<{ url: string; protocols: string[] }> {
    const token = await this.#tokens.get(why);
    this.#owner = ownerOf(token);
    // Never send the previous user's queries in the name of the new user.
    if (this.#session.isOfAnother(this.#owner)) {
      // What this page has asked before its first connection is the new user's own.
      this.#forget(this.session === undefined ? this.#exchange.restored : undefined);
    }
    const { stream = true, reasoning, replay = "missed", chatId } = this.#options;
    const { parameters, protocols } = this.#session.toResume(replay);
    const url = withParameters(this.#endpoint, {
      stream: String(stream),
      ...(reasoning && { reasoning: "true" }),
      heartbeat: "true",
      deltas: "short",
      ...(chatId !== undefined && { chat_id: chatId }),
      ...this.#options.parameters,
      ...parameters,
    });
    return { url, protocols: [SUBPROTOCOL, ...(token ? [`jwt-${token}`] : []), ...protocols] };
  }

  #onWelcome(frame: NotificationFrame): void {
    const name = this.#session.welcomed(frame, this.#owner);
    this.#attempts = 0;
    this.#exchange.connected(frame);
    this.#save();
    this.#opening?.resolve(undefined);
    this.#opening = undefined;
    const { session } = this;
    if (session !== undefined) this.#events.emit(name, { session, resumed: frame.resumed });
  }

  #onFrame(frame: ServerFrame): void {
    const seq = "seq" in frame ? frame.seq : undefined;
    const isNext = seq !== undefined && this.#session.received(seq);
    const isNews = seq === undefined || isNext;
    const id = frame.type === "query" ? frame.id : "in_reply_to" in frame ? frame.in_reply_to : undefined;
    // An event that was already seen carries no news, except for a query that was sent again.
    if (id !== undefined) {
      if (isNews || this.#exchange.get(id) !== undefined) this.#exchange.take(id, frame, seq !== undefined);
    } else if (frame.type === "error") this.#events.emit("error", toError(frame));
    // Not with each event of a replay: writing to a browser's storage takes longer than all else that is done with it.
    if (isNext && this.#session.isCaughtUp) this.#save();
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
      const token = await this.#tokens.get("expiring");
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

  #onStop(closing: Closing, isIdle: boolean): void {
    this.#isClosed = !isIdle;
    this.#attempts = 0;
    this.#tokens.stop();
    const words = `The connection was closed with ${closing.code} ${closing.reason}`;
    const { unsent, taken } = this.#exchange.abandon(words);
    if (closing.code === 4003 || closing.code === 4009) this.#session.forget();
    // The session may still answer the queries that it accepted.
    this.#save(taken);
    this.#unsent = unsent;
    this.#opening?.reject(closed(words));
    this.#opening = undefined;
    this.#events.emit("close", { ...closing, unsent });
  }

  /** The next connection begins a new session. */
  #forget(turns?: readonly TurnRecord[]): void {
    this.#exchange.abandon("The session was left", turns);
    this.#session.forget();
    this.#save();
  }

  #save(pending = this.#exchange.questions): void {
    this.#session.save(pending, this.#exchange.cancelled);
  }
}
