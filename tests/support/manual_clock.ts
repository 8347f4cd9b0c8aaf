/** A clock that moves only by hand, so that no test sleeps. */

import type { CancelTimer, Clock } from "../../supabase/functions/_shared/ports/runtime.ts";

interface Timer {
  readonly dueAt: number;
  readonly task: () => void;
}

export class ManualClock implements Clock {
  #now: number;
  // In the order in which they were set: of two that are due at the same moment the older runs first.
  readonly #timers = new Set<Timer>();

  /** Starts at `startMs` milliseconds since the epoch; default 2025-01-01T00:00:00.000Z. */
  constructor(startMs = 1_735_689_600_000) {
    this.#now = startMs;
  }

  now(): number {
    return this.#now;
  }

  after(delayMs: number, task: () => void): CancelTimer {
    const timer = { dueAt: this.#now + Math.max(0, delayMs), task };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  /** Timers that have neither fired nor been cancelled: 0 where nothing was left behind. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Milliseconds until the next timer; undefined where there is none. */
  get nextDelayMs(): number | undefined {
    const next = this.#next();
    return next && next.dueAt - this.#now;
  }

  /**
   * Moves on by `ms` and runs every timer that falls due, in order, each at its own time; those that they set as well,
   * if they fall due within `ms`. Promises settled by them go on only after this has returned: await
   * {@linkcode settle} for that.
   */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (let next = this.#next(); next !== undefined && next.dueAt <= end; next = this.#next()) {
      this.#timers.delete(next);
      this.#now = Math.max(this.#now, next.dueAt);
      next.task();
    }
    this.#now = end;
  }

  #next(): Timer | undefined {
    let next: Timer | undefined;
    for (const timer of this.#timers) {
      if (next === undefined || timer.dueAt < next.dueAt) next = timer;
    }
    return next;
  }
}

/**
 * Waits until everything that can go on without time or network has done so: promises, and streams made by hand.
 * Sets no timer.
 */
export async function settle(turns = 3): Promise<void> {
  for (let turn = 0; turn < turns; turn++) {
    await new Promise<void>((resolve) => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = (): void => {
        port1.close();
        port2.close();
        resolve();
      };
      port2.postMessage(null);
    });
  }
}
