/**
 * The messages per second of the whole project, and their limit, counted as in Realtime (realtime, rate_counter.ex and
 * tenants.ex). It counts in ticks of five seconds. The rate is the average of the last twelve ticks, or of all ticks if
 * there were fewer. The average changes only at a tick, so a burst passes until then. A project that was silent has few
 * ticks, so a burst weighs more.
 */

import type { Clock } from "../../supabase/functions/_shared/ports/runtime.ts";

const TICK_MS = 5000;
const TICKS = 12;
/** The count restarts after this many ticks without a message. */
const IDLE_TICKS = 60;

export class MessageRate {
  readonly #clock: Pick<Clock, "now">;
  /** Messages per second; 0 for no limit. */
  readonly limit: number;
  /** The counts of past ticks, newest last. The real counter's first tick ends as soon as it starts. */
  #counts: number[] = [0];
  #current = 0;
  #startedAt: number;
  #idleTicks = 0;
  /** When the limit was reached, in milliseconds since the epoch; undefined below the limit. */
  #exceededAt: number | undefined;

  constructor(clock: Pick<Clock, "now">, limit: number) {
    this.#clock = clock;
    this.limit = limit;
    this.#startedAt = clock.now();
  }

  add(count = 1): void {
    this.#tick();
    this.#current += count;
  }

  /** The average of the past ticks. */
  get perSecond(): number {
    this.#tick();
    return this.#average;
  }

  /** The tick at which the limit was reached, in milliseconds since the epoch; undefined below the limit. */
  get exceededAt(): number | undefined {
    this.#tick();
    return this.#exceededAt;
  }

  get #average(): number {
    return this.#counts.reduce((sum, count) => sum + count, 0) * 1000 / (this.#counts.length * TICK_MS);
  }

  #tick(): void {
    const now = this.#clock.now();
    if (now - this.#startedAt >= TICK_MS * (IDLE_TICKS + TICKS)) this.#begin(now);
    while (now - this.#startedAt >= TICK_MS) {
      this.#startedAt += TICK_MS;
      this.#idleTicks = this.#current === 0 ? this.#idleTicks + 1 : 0;
      this.#counts = [...this.#counts, this.#current].slice(-TICKS);
      this.#current = 0;
      if (this.#idleTicks >= IDLE_TICKS) return this.#begin(now);
      if (this.limit === 0 || this.#average < this.limit) this.#exceededAt = undefined;
      else this.#exceededAt ??= this.#startedAt;
    }
  }

  #begin(now: number): void {
    this.#counts = [0];
    this.#current = 0;
    this.#idleTicks = 0;
    this.#startedAt = now;
    this.#exceededAt = undefined;
  }
}
