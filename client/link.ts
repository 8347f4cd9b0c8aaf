/**
 * One connection after the other: opens a socket and waits for the welcome. When the connection is lost, it reacts to
 * the close code. It knows nothing about queries.
 */

import { ConnectionWatch } from "./connection_watch.ts";
import { AgentClientError } from "./error.ts";
import type { NotificationFrame, ServerFrame, ShortFrame } from "./frames.ts";
import type { Closing, TokenReason } from "./options.ts";
import type { ClientPorts, SocketLike } from "./ports.ts";
import { Backoff, type Reaction, reactionTo } from "./reconnecting.ts";
import { ShortDeltas } from "./short_deltas.ts";
import { WakeListener } from "./wake_listener.ts";

/** The time limit from opening the socket to the welcome. */
const OPEN_TIMEOUT_MS = 15_000;
/** When the page is shown again, an attempt older than this is replaced: its network may be gone. */
const STALE_ATTEMPT_MS = 5000;
/** A connection that lasted this long counts as a success. */
const STABLE_MS = 5000;

export interface LinkOptions extends ClientPorts {
  /** Whether the caller can supply another token after one was refused. */
  hasTokens: boolean;
  /** Whether something waits to be sent or answered. */
  isNeeded(): boolean;
  /** Where to connect. Rejects if no token is available: that counts as a failed attempt. */
  dial(why: TokenReason): Promise<{ url: string; protocols: string[] }>;
  onWelcome(frame: NotificationFrame): void;
  /** Any other frame, in order. */
  onFrame(frame: ServerFrame): void;
  /** The connection was lost or could not be opened. The next attempt comes in `delayMs`. */
  onLost(lost: Closing & { attempt: number; delayMs: number }): void;
  /**
   * The link has stopped, until {@linkcode Link.start} is called. `isIdle`: the server closed a session that was not used,
   * and it can be resumed.
   */
  onStop(closing: Closing, isIdle: boolean): void;
  onError(error: AgentClientError): void;
}

export type LinkState = "stopped" | "waiting" | "opening" | "live";

export class Link {
  readonly #options: LinkOptions;
  readonly #backoff: Backoff;
  readonly #watch: ConnectionWatch;
  readonly #wakeListener: WakeListener;
  #state: LinkState = "stopped";
  /** Counts connections: late events of an earlier connection are ignored. */
  #epoch = 0;
  #socket: SocketLike | undefined;
  #cancelTimer = (): void => {};
  /** Why the next attempt needs a token. */
  #why: TokenReason = "connect";
  #openedAt = 0;
  /** The delay that the server sent before it closed. */
  #retryAfterMs: number | undefined;
  /** The server has announced that it closes the session because it was not used. */
  #hasTimedOut = false;
  /** A new token was fetched after a refusal, and no connection with it has succeeded yet. */
  #isLastToken = false;
  /** The server asked for this wait. */
  #isAskedToWait = false;
  #deltas = new ShortDeltas();

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#backoff = new Backoff(options);
    this.#wakeListener = new WakeListener(options.wake, () => this.wake());
    this.#watch = new ConnectionWatch({
      clock: options.clock,
      isHidden: () => this.#wakeListener.isHidden,
      probe: () => this.#socket?.send(JSON.stringify({ type: "command", content: "ping", id: PROBE_ID })),
      onDead: () => this.#lost({ code: 1006, reason: "No sign of life" }),
    });
  }

  get state(): LinkState {
    return this.#state;
  }

  /** The number of the current connection; 0 if there is none. */
  get connection(): number {
    return this.#state === "live" ? this.#epoch : 0;
  }

  start(): void {
    if (this.#state !== "stopped") return;
    this.#isLastToken = false;
    this.#isAskedToWait = false;
    this.#wakeListener.start();
    this.#wait(this.#backoff.blockedForMs(), "connect");
  }

  /** Closes the connection and stops reconnecting. */
  stop(closing: Closing): void {
    if (this.#state === "stopped") return;
    this.#end();
    this.#options.onStop(closing, false);
  }

  /** Sends a frame. Does nothing before the welcome. */
  send(frame: object): void {
    if (this.#state !== "live") return;
    this.#watch.sent();
    this.#socket?.send(JSON.stringify(frame));
  }

  /** This connection was useful. */
  succeed(): void {
    this.#isLastToken = false;
    this.#backoff.succeed();
  }

  /**
   * The network is back, or the page is shown again: connects at once. An existing connection may be dead, so it is asked
   * for a sign of life.
   */
  wake(): void {
    if (this.#state === "live") return this.#watch.doubt();
    if (this.#state === "opening" && this.#options.clock.now() - this.#openedAt >= STALE_ATTEMPT_MS) {
      this.#lost({ code: 1006, reason: "No welcome" });
    }
    // Do not shorten a wait that the server asked for, and do not exceed the limit on attempts.
    if (this.#state !== "waiting" || this.#isAskedToWait || this.#backoff.blockedForMs() > 0) return;
    this.#cancelTimer();
    this.#open();
  }

  #open(): void {
    const { clock, dial, onError } = this.#options;
    const epoch = ++this.#epoch;
    const isOver = (): boolean => epoch !== this.#epoch || this.#state !== "opening";
    this.#state = "opening";
    this.#openedAt = clock.now();
    this.#retryAfterMs = undefined;
    this.#hasTimedOut = false;
    this.#backoff.attempt();
    this.#cancelTimer = (): void => {};
    dial(this.#why).then(({ url, protocols }) => {
      if (isOver()) return;
      this.#cancelTimer = clock.after(
        OPEN_TIMEOUT_MS,
        () => this.#lost({ code: 1006, reason: "No welcome" }),
      );
      this.#attach(new this.#options.WebSocket(url, protocols));
      this.#why = "connect";
    }).catch((cause: unknown) => {
      if (isOver()) return;
      onError(
        cause instanceof AgentClientError
          ? cause
          : new AgentClientError("connection_lost", "Cannot open the socket", { cause, retryable: true }),
      );
      // A listener may have called stop.
      if (!isOver()) this.#lost({ code: 1006, reason: "Not opened" });
    });
  }

  #attach(socket: SocketLike): void {
    this.#socket = socket;
    this.#deltas = new ShortDeltas();
    socket.onmessage = ({ data }: { data: unknown }): void => this.#onMessage(data);
    socket.onclose = ({ code, reason }: Closing): void => this.#lost({ code, reason });
    // A close event always follows.
    socket.onerror = (): void => {};
  }

  #onMessage(data: unknown): void {
    const { clock, onError, onFrame } = this.#options;
    this.#watch.heard();
    const received = parse(data);
    if (received === undefined) {
      return onError(
        new AgentClientError("bad_frame", "Cannot read frame: no JSON object with a type"),
      );
    }
    const frame = this.#deltas.restore(received, clock.now());
    if (frame === undefined) {
      return onError(new AgentClientError("bad_frame", "Cannot read frame: no turn has its ref"));
    }
    if (frame.type === "notification" && frame.seq === undefined) {
      if (frame.code === "connected" && this.#state === "opening") return this.#onWelcome(frame);
      this.#hasTimedOut ||= frame.code === "session_timeout";
    }
    if (frame.type === "error" && frame.in_reply_to === undefined) this.#retryAfterMs = frame.retry_after_ms;
    if (frame.type === "heartbeat" || ("in_reply_to" in frame && frame.in_reply_to === PROBE_ID)) return;
    onFrame(frame);
  }

  #onWelcome(frame: NotificationFrame): void {
    const { clock, onWelcome } = this.#options;
    this.#cancelTimer();
    this.#state = "live";
    this.#cancelTimer = clock.after(STABLE_MS, () => this.succeed());
    this.#watch.start();
    onWelcome(frame);
  }

  #lost(closing: Closing): void {
    this.#drop();
    const reaction = this.#reactionTo(closing);
    if (reaction === "stop" || reaction === "idle") {
      this.#end();
      return this.#options.onStop(closing, reaction === "idle");
    }
    const delayMs = this.#backoff.fail(reaction, this.#retryAfterMs);
    this.#isAskedToWait = reaction === "later" || this.#isLastToken;
    // In this order: a listener may call stop.
    this.#wait(delayMs, reaction === "new_token" ? "rejected" : this.#why);
    this.#options.onLost({ ...closing, attempt: this.#backoff.failures, delayMs });
  }

  #reactionTo(closing: Closing): Reaction {
    const reaction = reactionTo(closing, this.#hasTimedOut);
    // A question that was asked at the moment of the close is not left waiting.
    if (reaction === "idle" && this.#options.isNeeded()) return "at_once";
    if (reaction !== "new_token") return reaction;
    if (this.#isLastToken || !this.#options.hasTokens) return "stop";
    this.#isLastToken = true;
    return reaction;
  }

  #wait(delayMs: number, why: TokenReason): void {
    this.#state = "waiting";
    this.#why = why;
    this.#cancelTimer = this.#options.clock.after(delayMs, () => this.#open());
  }

  /** Discards the socket and ignores its later events. */
  #drop(): void {
    this.#cancelTimer();
    this.#watch.stop();
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket === undefined) return;
    socket.onmessage = null;
    socket.onclose = null;
    // Without a listener, `ws` throws on an `error` event.
    socket.onerror = (): void => {};
    socket.close(1000);
  }

  #end(): void {
    this.#drop();
    this.#state = "stopped";
    this.#wakeListener.stop();
  }
}

const PROBE_ID = "agent-client-probe";

function parse(data: unknown): ServerFrame | ShortFrame | undefined {
  try {
    const frame: unknown = JSON.parse(data as string);
    return (frame as Partial<ServerFrame> | null)?.type && frame as ServerFrame | ShortFrame;
  } catch {
    return undefined;
  }
}
