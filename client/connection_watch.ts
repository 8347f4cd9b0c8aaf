/**
 * Notices a connection that is dead although it looks open: after the machine slept, after the page was in the
 * background, or because a network on the way forgot it. It asks for a sign of life, and any frame is one.
 */

import type { Clock } from "./ports.ts";

/** How long the server may be silent. Its heartbeats come every 25 s by default. */
const SILENCE_MS = 60_000;
/** How long the server may be silent after a frame was sent to it. Every frame is answered. */
const ANSWER_MS = 5000;
/** The time limit for an answer to a probe. */
const PROBE_TIMEOUT_MS = 5000;
/** The same when there is a reason to doubt the connection: it is to be replaced within 2 s. */
const WAKE_TIMEOUT_MS = 1500;
const CHECK_EVERY_MS = 1000;
/** A check that comes so late was not only delayed: the machine slept, or the clock was set. */
const JUMP_MS = 5000;

export interface ConnectionWatchOptions {
  clock: Clock;
  /** Whether the page is hidden: browsers slow down its timers then. */
  isHidden(): boolean;
  /** Asks the server to send any frame. */
  probe(): void;
  /** The server has sent nothing, although it was asked to. */
  onDead(): void;
}

export class ConnectionWatch {
  readonly #options: ConnectionWatchOptions;
  #heardAt = 0;
  #checkedAt = 0;
  /** When the oldest frame was sent after which nothing was received. */
  #sentAt: number | undefined;
  #cancelCheck: (() => void) | undefined;
  #probe: { endsAt: number; cancel(): void } | undefined;

  constructor(options: ConnectionWatchOptions) {
    this.#options = options;
  }

  /** A connection is ready. */
  start(): void {
    this.stop();
    this.#heardAt = this.#checkedAt = this.#options.clock.now();
    this.#checkLater();
  }

  stop(): void {
    this.#cancelCheck?.();
    this.#cancelCheck = undefined;
    this.heard();
  }

  /** A frame was received. */
  heard(): void {
    this.#heardAt = this.#options.clock.now();
    this.#sentAt = undefined;
    this.#probe?.cancel();
    this.#probe = undefined;
  }

  /** A frame was sent. */
  sent(): void {
    this.#sentAt ??= this.#options.clock.now();
  }

  /** There is a reason to doubt the connection: asks at once, and does not wait for long. */
  doubt(): void {
    this.#ask(WAKE_TIMEOUT_MS);
  }

  #checkLater(): void {
    this.#cancelCheck = this.#options.clock.after(CHECK_EVERY_MS, () => this.#check());
  }

  #check(): void {
    const { clock, isHidden } = this.#options;
    const now = clock.now();
    const sinceCheck = now - this.#checkedAt;
    this.#checkedAt = now;
    this.#checkLater();
    if (sinceCheck < 0 || (sinceCheck > JUMP_MS && !isHidden())) return this.#ask(WAKE_TIMEOUT_MS);
    const isUnanswered = this.#sentAt !== undefined && now - this.#sentAt >= ANSWER_MS;
    if (isUnanswered || now - this.#heardAt >= SILENCE_MS) this.#ask(PROBE_TIMEOUT_MS);
  }

  #ask(timeoutMs: number): void {
    const { clock, probe, onDead } = this.#options;
    const endsAt = clock.now() + timeoutMs;
    const isFirst = this.#probe === undefined;
    if (this.#probe !== undefined && this.#probe.endsAt <= endsAt) return;
    this.#probe?.cancel();
    this.#probe = { endsAt, cancel: clock.after(timeoutMs, onDead) };
    if (isFirst) probe();
  }
}
