/**
 * One connection after the other: opens a socket and waits for the welcome. When the connection is lost, it reacts to
 * the close code. It knows nothing about queries.
 */

import { AgentClientError } from "./error.ts";
import type { NotificationFrame, ServerFrame, ShortFrame } from "./frames.ts";
import type { Closing, TokenReason } from "./options.ts";
import type { ClientPorts, SocketLike } from "./ports.ts";
import { Backoff, type Reaction, reactionTo } from "./reconnecting.ts";
import { ShortDeltas } from "./short_deltas.ts";

/** The time limit for opening a connection, from fetching the token to the welcome. */
const OPEN_TIMEOUT_MS = 15_000;
/** The time limit for the server to answer a probe. */
const PROBE_TIMEOUT_MS = 5000;
/** A connection that lasted this long counts as a success. */
const STABLE_MS = 5000;
/** How long a server that sends heartbeats may be silent before the client probes it. */
const SILENCE_MS = 60_000;

export interface LinkOptions extends ClientPorts {
  /** Whether the caller can supply another token after one was refused. */
  hasTokens: boolean;
  /** Where to connect. Rejects if no token is available: that counts as a failed attempt. */
  dial(why: TokenReason): Promise<{ url: string; protocols: string[] }>;
  onWelcome(frame: NotificationFrame): void;
  /** Any other frame, in order. */
  onFrame(frame: ServerFrame): void;
  /** The connection was lost or could not be opened. The next attempt comes in `delayMs`. */
  onLost(lost: Closing & { attempt: number; delayMs: number }): void;
  /** The link has stopped, until {@linkcode Link.start} is called. */
  onStop(closing: Closing): void;
  onError(error: AgentClientError): void;
}

export type LinkState = "stopped" | "waiting" | "opening" | "live";

export class Link {
  readonly #options: LinkOptions;
  readonly #backoff: Backoff;
  #state: LinkState = "stopped";
  /** Counts connections: late events of an earlier connection are ignored. */
  #epoch = 0;
  #socket: SocketLike | undefined;
  #cancelTimer = (): void => {};
  #cancelWatch = (): void => {};
  /** The delay that the server sent before it closed. */
  #retryAfterMs: number | undefined;
  /** A new token was fetched after a refusal, and no connection with it has succeeded yet. */
  #isLastToken = false;
  /** The server asked for this wait. */
  #isAskedToWait = false;
  #hasHeartbeats = false;
  #deltas = new ShortDeltas();
  readonly #wake = (): void => this.#onWake();

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#backoff = new Backoff(options);
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
    for (const type of ["online", "pageshow"]) this.#options.wake.addEventListener?.(type, this.#wake);
    this.#wait(this.#backoff.blockedForMs(), "connect");
  }

  /** Closes the connection and stops reconnecting. */
  stop(closing: Closing): void {
    if (this.#state === "stopped") return;
    this.#end();
    this.#options.onStop(closing);
  }

  /** Sends a frame. Does nothing before the welcome. */
  send(frame: object): void {
    if (this.#state === "live") this.#socket?.send(JSON.stringify(frame));
  }

  /** This connection was useful. */
  succeed(): void {
    this.#isLastToken = false;
    this.#backoff.succeed();
  }

  #open(why: TokenReason): void {
    const { clock, dial, onError } = this.#options;
    const epoch = ++this.#epoch;
    this.#state = "opening";
    this.#retryAfterMs = undefined;
    this.#hasHeartbeats = false;
    this.#backoff.attempt();
    this.#cancelTimer = clock.after(OPEN_TIMEOUT_MS, () => this.#lost({ code: 1006, reason: "No welcome" }));
    dial(why).then(({ url, protocols }) => {
      if (epoch !== this.#epoch || this.#state !== "opening") return;
      this.#attach(new this.#options.WebSocket(url, protocols));
    }).catch((cause: unknown) => {
      if (epoch !== this.#epoch || this.#state !== "opening") return;
      onError(
        cause instanceof AgentClientError
          ? cause
          : new AgentClientError("connection_lost", "Cannot open the socket", { cause, retryable: true }),
      );
      this.#lost({ code: 1006, reason: "Not opened" });
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
    this.#hasHeartbeats ||= frame.type === "heartbeat";
    this.#cancelWatch();
    if (this.#hasHeartbeats) this.#watch(SILENCE_MS, () => this.#probe());
    if (this.#state === "opening" && frame.type === "notification" && frame.code === "connected") {
      return this.#onWelcome(frame);
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
    onWelcome(frame);
  }

  #lost({ code, reason }: Closing): void {
    this.#drop();
    const reaction = this.#reactionTo(code);
    if (reaction === "stop") {
      this.#end();
      return this.#options.onStop({ code, reason });
    }
    const delayMs = this.#backoff.fail(reaction, this.#retryAfterMs);
    this.#isAskedToWait = reaction === "later" || this.#isLastToken;
    // In this order: a listener may call stop.
    this.#wait(delayMs, reaction === "new_token" ? "rejected" : "connect");
    this.#options.onLost({ code, reason, attempt: this.#backoff.failures, delayMs });
  }

  #reactionTo(code: number): Reaction {
    const reaction = reactionTo(code);
    if (reaction !== "new_token") return reaction;
    if (this.#isLastToken || !this.#options.hasTokens) return "stop";
    this.#isLastToken = true;
    return reaction;
  }

  #wait(delayMs: number, why: TokenReason): void {
    this.#state = "waiting";
    this.#cancelTimer = this.#options.clock.after(delayMs, () => this.#open(why));
  }

  /**
   * The network is back, or the page is shown again: reconnect at once. An existing socket may be dead, so probe it.
   */
  #onWake(): void {
    if (this.#state === "live") return this.#probe();
    // Do not shorten a wait that the server asked for, and do not exceed the limit on attempts.
    if (this.#state !== "waiting" || this.#isAskedToWait || this.#backoff.blockedForMs() > 0) return;
    this.#cancelTimer();
    this.#open("connect");
  }

  /** Asks the server to send any frame. */
  #probe(): void {
    this.#watch(PROBE_TIMEOUT_MS, () => this.#lost({ code: 1006, reason: "No sign of life" }));
    this.send({ type: "command", content: "ping", id: PROBE_ID });
  }

  /** Runs a task if no frame arrives for this long. */
  #watch(ms: number, task: () => void): void {
    this.#cancelWatch();
    this.#cancelWatch = this.#options.clock.after(ms, task);
  }

  /** Discards the socket and ignores its later events. */
  #drop(): void {
    this.#cancelTimer();
    this.#cancelWatch();
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
    for (const type of ["online", "pageshow"]) this.#options.wake.removeEventListener?.(type, this.#wake);
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
