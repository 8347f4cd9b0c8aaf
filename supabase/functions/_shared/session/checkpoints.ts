/**
 * The tick at which the running answers of this worker are put down, so that another one can go on with them.
 *
 * One tick for all: what is written at the same moment goes to the store in one call.
 */

import type { CancelTimer, Clock } from "../ports.ts";

export interface CheckpointsOptions {
  clock: Clock;
  intervalMs: number;
  /** Whether another worker could go on. */
  isDurable(): boolean;
}

export class Checkpoints {
  readonly #options: CheckpointsOptions;
  readonly #running = new Set<() => void>();
  #cancelTick: CancelTimer | undefined;

  constructor(options: CheckpointsOptions) {
    this.#options = options;
  }

  /** Calls `write` at each tick, until the answer is called. */
  add(write: () => void): () => void {
    if (!this.#options.isDurable()) return () => {};
    this.#running.add(write);
    this.#tickLater();
    return () => this.#running.delete(write);
  }

  #tickLater(): void {
    const { clock, intervalMs } = this.#options;
    this.#cancelTick ??= clock.after(intervalMs, () => {
      this.#cancelTick = undefined;
      for (const write of this.#running) write();
      if (this.#running.size > 0) this.#tickLater();
    });
  }
}
