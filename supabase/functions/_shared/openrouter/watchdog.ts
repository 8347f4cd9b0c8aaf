/** Notices that a provider has gone silent. */

import type { CancelTimer, Clock } from "../ports/runtime.ts";
import { type AttemptFailure, stalled, tooSlowToBegin } from "./attempt_failure.ts";

export interface WatchdogOptions {
  clock: Clock;
  /** Longest silence, from the first byte on; 0 for no limit. */
  stallTimeoutMs: number;
  /** Longest wait for the model's first token, whatever else comes; 0 for no limit. */
  firstTokenTimeoutMs: number;
  onTimeout(error: AttemptFailure): void;
}

/**
 * One coarse timer for a whole stream. A timer for each read would cost as much as the read, so a read only notes the
 * time, and the timer that finds it moved sets itself again.
 */
export class Watchdog {
  readonly #options: WatchdogOptions;
  readonly #beginBy: number;
  #heardAt: number;
  #begun = false;
  /** Before the first byte too: a server may load its model, and sends nothing until then. */
  #held = true;
  #cancelTimer: CancelTimer | undefined;

  constructor(options: WatchdogOptions) {
    this.#options = options;
    this.#heardAt = options.clock.now();
    this.#beginBy = options.firstTokenTimeoutMs === 0
      ? Infinity
      : this.#heardAt + options.firstTokenTimeoutMs;
    this.#watch();
  }

  /** Something came, if only a comment. */
  heard(now: number): void {
    this.#heardAt = now;
    this.#held = false;
  }

  /** Silence is no stall until {@linkcode heard}: reading is paused on our side, or only the end is still to come. */
  hold(): void {
    this.#held = true;
  }

  /** The first token came. */
  begun(): void {
    this.#begun = true;
  }

  /** Ends the watch; again does nothing. */
  end(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  readonly #watch = (): void => {
    const { clock, stallTimeoutMs, firstTokenTimeoutMs, onTimeout } = this.#options;
    const now = clock.now();
    if (this.#held) this.#heardAt = now;
    const stallsAt = stallTimeoutMs === 0 ? Infinity : this.#heardAt + stallTimeoutMs;
    const beginBy = this.#begun ? Infinity : this.#beginBy;
    if (now >= beginBy) return onTimeout(tooSlowToBegin(firstTokenTimeoutMs));
    if (now >= stallsAt) return onTimeout(stalled(stallTimeoutMs));
    const next = Math.min(stallsAt, beginBy);
    this.#cancelTimer = next === Infinity ? undefined : clock.after(next - now, this.#watch);
  };
}
