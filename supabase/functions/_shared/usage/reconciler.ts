/** Asks the provider, some time after a request has ended, what it has used. */

import type { Clock, WorkerLifetime } from "../ports/runtime.ts";
import type { GenerationReader } from "../ports/usage.ts";
import type { Usage } from "../protocol/log_event.ts";

/** How long to wait before each try: the provider knows some seconds after the end. */
export const TRY_AFTER_MS = [4000, 10_000, 30_000] as const;
/** More than these are not asked for. */
export const MAX_WAITING = 200;

export interface ReconcilerOptions {
  clock: Clock;
  lifetime: WorkerLifetime;
  reader: GenerationReader;
}

export class Reconciler {
  readonly #options: ReconcilerOptions;
  #waiting = 0;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
  }

  /** Calls `done` once: with what the provider told, or with undefined. Holds the worker until then, for a minute at most. */
  add(generationId: string, done: (usage: Usage | undefined) => void): void {
    if (this.#waiting === MAX_WAITING) return done(undefined);
    this.#waiting++;
    this.#options.lifetime.hold(
      this.#ask(generationId).then(done).finally(() => void this.#waiting--),
    );
  }

  async #ask(generationId: string): Promise<Usage | undefined> {
    const { clock, reader } = this.#options;
    for (const waitMs of TRY_AFTER_MS) {
      await new Promise<void>((resolve) => void clock.after(waitMs, resolve));
      const usage = await reader.usageOf(generationId);
      if (usage !== undefined) return usage;
    }
    return undefined;
  }
}
