/** Counts recent events in a ring of short time spans. */

import type { Clock } from "../../supabase/functions/_shared/ports/runtime.ts";

export interface RateMeterOptions {
  /** The number of spans in the average. */
  spans: number;
  spanMs: number;
}

export class RateMeter {
  readonly #clock: Pick<Clock, "now">;
  readonly #options: RateMeterOptions;
  readonly #counts: number[];
  /** The number of the newest span, counted from the epoch. */
  #newest: number;

  constructor(clock: Pick<Clock, "now">, options: RateMeterOptions) {
    this.#clock = clock;
    this.#options = options;
    this.#counts = Array.from({ length: options.spans }, () => 0);
    this.#newest = this.#span();
  }

  add(count = 1): void {
    this.#turn();
    const at = this.#newest % this.#options.spans;
    this.#counts[at] = (this.#counts[at] ?? 0) + count;
  }

  /** The average over the whole ring. */
  perSecond(): number {
    this.#turn();
    const { spans, spanMs } = this.#options;
    return this.#counts.reduce((sum, count) => sum + count, 0) * 1000 / (spans * spanMs);
  }

  #span(): number {
    return Math.floor(this.#clock.now() / this.#options.spanMs);
  }

  /** Clears the spans that are reused since the last call. */
  #turn(): void {
    const { spans } = this.#options;
    const span = this.#span();
    for (let next = Math.max(this.#newest + 1, span - spans + 1); next <= span; next++) {
      this.#counts[next % spans] = 0;
    }
    this.#newest = Math.max(this.#newest, span);
  }
}
