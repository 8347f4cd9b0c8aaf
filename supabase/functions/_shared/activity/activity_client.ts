/**
 * One watcher: what it says, what it is shown, and how far it may fall behind.
 *
 * It knows no runtime: the socket is a port, and `opened`, `received` and `lost` are called by the owner of the real one.
 */

import { AgentError } from "../errors.ts";
import type { OnDemand } from "../on_demand.ts";
import type { CancelTimer, Clock, Socket } from "../ports/runtime.ts";
import type { ActivityAction, DecodeAction } from "../protocol/activity_actions.ts";
import type { ActivityEvent, SubscribedFrame } from "../protocol/activity_events.ts";
import { type ActivityEventType, isActivityEventType } from "../protocol/activity_types.ts";
import { CLOSE, type Closing } from "../protocol/close_codes.ts";
import { renderError } from "../protocol/render.ts";
import { stamp } from "../protocol/stamp.ts";
import type { Sight, WatchFilter } from "./watch_filter.ts";

/** The longest that events may be gathered for one frame. More than that is taken as this. */
const MAX_BATCH_MS = 10_000;
/** Frames, and their length together, that wait while the decoder is loaded; more are ignored. */
const MAX_UNDECODED = 20;
const MAX_UNDECODED_CHARS = 65_536;

/** Who watches. */
export interface Watcher {
  sees: Sight;
  /** When the token ends that it came with, in milliseconds since the epoch: then it is closed. */
  expiresAt?: number | undefined;
}

export interface ClientDeps {
  clock: Clock;
  decoder: OnDemand<DecodeAction>;
  /** What may wait for the reader. */
  maxBufferedBytes: number;
  /** A longer frame is ignored. */
  maxMessageBytes: number;
  /** The socket is open: admit the client, or close it. */
  onOpened(client: ActivityClient): void;
  /** What it said cannot be looked into. */
  onFailed(error: unknown): void;
  /** What it wants has changed. */
  onSubscribed(client: ActivityClient): void;
  /** Called once, after the socket has closed: with our own close, or else with the one the socket reported. */
  onGone(client: ActivityClient, code: number): void;
}

export class ActivityClient implements WatchFilter {
  readonly id: string;
  readonly sees: Sight;
  readonly types = new Set<ActivityEventType>();
  readonly connectedAt: number;
  readonly #deps: ClientDeps;
  readonly #socket: Socket;
  readonly #expiresAt: number | undefined;
  #state: "opening" | "open" | "gone" = "opening";
  #batchMs = 0;
  #undecoded = 0;
  #undecodedChars = 0;
  #lastActivity: number;
  #cancelExpiry: CancelTimer | undefined;

  constructor(id: string, socket: Socket, watcher: Watcher, deps: ClientDeps) {
    this.id = id;
    this.sees = watcher.sees;
    this.connectedAt = this.#lastActivity = deps.clock.now();
    this.#socket = socket;
    this.#expiresAt = watcher.expiresAt;
    this.#deps = deps;
  }

  /** How long events may be gathered for it; 0 for not at all. */
  get batchMs(): number {
    return this.#batchMs;
  }

  /** When it last said anything, in milliseconds since the epoch. */
  get lastActivity(): number {
    return this.#lastActivity;
  }

  /** The socket is open: from now on, and never before, frames may be sent. */
  opened(): void {
    if (this.#state === "opening") this.#deps.onOpened(this);
  }

  /** A frame has come in. An invalid one is ignored, but proves that the client is alive. */
  received(data: string | ArrayBuffer): void {
    if (this.#state !== "open") return;
    this.#lastActivity = this.#deps.clock.now();
    const { decoder, maxMessageBytes } = this.#deps;
    const size = typeof data === "string" ? data.length : data.byteLength;
    if (size > maxMessageBytes) return;
    if (!decoder.isLoaded && this.#isTooMuchToWait(size)) return;
    decoder.use((decode) => this.#act(decode(data)), (error) => this.#deps.onFailed(error));
  }

  #isTooMuchToWait(chars: number): boolean {
    this.#undecodedChars += chars;
    return ++this.#undecoded > MAX_UNDECODED || this.#undecodedChars > MAX_UNDECODED_CHARS;
  }

  #act(action: ActivityAction | undefined): void {
    // It may have gone while the decoder was loaded.
    if (this.#state !== "open") return;
    switch (action?.action) {
      case "subscribe":
        return this.#subscribe(action);
      case "unsubscribe":
        for (const type of action.types ?? []) if (isActivityEventType(type)) this.types.delete(type);
        return this.#deps.onSubscribed(this);
      case "ping":
        return this.tell("heartbeat", "pong");
    }
  }

  /** The socket is gone. Deno may say so twice. */
  lost(code: number): void {
    this.#leave(code);
  }

  /** Lets it watch, and says so: its first frame. */
  admit(): void {
    const { clock } = this.#deps;
    this.#state = "open";
    if (this.#expiresAt !== undefined) {
      const leftMs = Math.max(0, this.#expiresAt - clock.now());
      this.#cancelExpiry = clock.after(leftMs, () => this.#expire());
    }
    this.tell("connection_established", `Connected as ${this.id}`);
  }

  /** Sends an encoded frame. A reader that is too far behind is closed instead. */
  send(text: string): void {
    if (this.#state !== "open") return;
    const waiting = this.#socket.bufferedAmount;
    // As in the agent's send buffer, one frame that is larger than the cap may stand alone.
    if (waiting > 0 && waiting + text.length > this.#deps.maxBufferedBytes) {
      return this.close(CLOSE.slowConsumer);
    }
    this.#socket.send(text);
  }

  /** Sends words of the server's own, whatever is subscribed to. */
  tell(type: "heartbeat" | "connection_established", message: string): void {
    const frame: ActivityEvent = { type, timestamp: stamp(this.#deps.clock.now()), data: { message } };
    this.send(JSON.stringify(frame));
  }

  /** Closes the connection. Send everything before this call. Calling it again does nothing. */
  close({ code, reason }: Closing): void {
    if (this.#state === "gone") return;
    this.#leave(code);
    this.#socket.close(code, reason);
  }

  #leave(code: number): void {
    if (this.#state === "gone") return;
    this.#state = "gone";
    this.#cancelExpiry?.();
    this.#deps.onGone(this, code);
  }

  #subscribe({ types = [], batch_ms, ack }: ActivityAction & { action: "subscribe" }): void {
    const known = types.filter(isActivityEventType);
    for (const type of known) this.types.add(type);
    if (batch_ms !== undefined) this.#batchMs = Math.min(Math.ceil(batch_ms), MAX_BATCH_MS);
    this.#deps.onSubscribed(this);
    if (ack !== true) return;
    const frame: SubscribedFrame = {
      type: "subscribed",
      timestamp: stamp(this.#deps.clock.now()),
      data: {
        types: [...this.types],
        unknown: types.filter((type) => !isActivityEventType(type)),
        batch_ms: this.#batchMs,
      },
    };
    this.send(JSON.stringify(frame));
  }

  #expire(): void {
    const error = new AgentError("unauthorized", "The token has expired");
    this.send(JSON.stringify(renderError(error, this.#deps.clock.now())));
    this.close(CLOSE.tokenExpired);
  }
}
