/** Whether an aborted `resume` was a stop is decided a moment later: of two resumes, the newer one aborts the older one. */

import type { CancelTimer, Clock } from "../ports/runtime.ts";

/** How soon another request must listen to the answer. React's StrictMode takes milliseconds. */
const SUPERSEDE_MS = 250;

export class AbortChecks {
  readonly #clock: Clock;
  readonly #timers = new Map<() => void, CancelTimer>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Calls `decide` when the moment is over, by way of `when`, or in {@linkcode decideNow}. */
  add(decide: () => void, when: (task: () => void) => void): void {
    const once = (): void => {
      if (this.#timers.delete(once)) decide();
    };
    this.#timers.set(once, this.#clock.after(SUPERSEDE_MS, () => when(once)));
  }

  /** The page has gone, and does not come back for what it aborted. */
  decideNow(): void {
    for (const [once, cancelTimer] of [...this.#timers]) {
      cancelTimer();
      once();
    }
  }

  clear(): void {
    for (const cancelTimer of this.#timers.values()) cancelTimer();
    this.#timers.clear();
  }
}
