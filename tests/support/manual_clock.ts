/** A clock that only the test moves, so that no test sleeps. */

import type { CancelTimer, Clock } from "../../supabase/functions/_shared/ports/runtime.ts";

interface Timer {
  readonly dueAt: number;
  readonly task: () => void;
}

export class ManualClock implements Clock {
  #now: number;
  // In the order of creation: if two are due at the same moment, the older runs first.
  readonly #timers = new Set<Timer>();

  /** Starts at `startMs` milliseconds since the epoch. Default: 2025-01-01T00:00:00.000Z. */
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

  /** The number of timers that have neither fired nor been cancelled. 0 means that none was leaked. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Milliseconds until the next timer; undefined if there is none. */
  get nextDelayMs(): number | undefined {
    const next = this.#next();
    return next && next.dueAt - this.#now;
  }

  /**
   * Moves the clock by `ms` and runs every timer that is due, in order, each at its own time. That includes new timers
   * set by these timers, if they are due within `ms`. Promises settled by the timers continue only after this returns:
   * await {@linkcode settle} for that.
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

  /** Moves the clock by `ms`, which may be negative, and no timer runs meanwhile: the machine sleeps, or the clock is set. */
  sleep(ms: number): void {
    this.#now += ms;
    const timers = [...this.#timers];
    this.#timers.clear();
    for (const { dueAt, task } of timers) this.#timers.add({ dueAt: dueAt + ms, task });
  }

  #next(): Timer | undefined {
    let next: Timer | undefined;
    for (const timer of this.#timers) {
      if (next === undefined || timer.dueAt < next.dueAt) next = timer;
    }
    return next;
  }
}

/** The platform's own: a package that loads `node:worker_threads` later replaces the global one by another. */
const { MessageChannel } = globalThis;

/**
 * Waits until everything has run that needs neither time nor network: promises, and streams made in the test. Sets no
 * timer.
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
