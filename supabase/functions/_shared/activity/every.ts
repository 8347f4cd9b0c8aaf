/** A task that is run again and again. */

import type { CancelTimer, Clock } from "../ports/runtime.ts";

/** Runs `task` each `intervalMs`, first after one interval; 0 for never. */
export function every(clock: Clock, intervalMs: number, task: () => void): CancelTimer {
  if (intervalMs === 0) return () => {};
  let cancel: CancelTimer;
  function again(): void {
    cancel = clock.after(intervalMs, again);
    task();
  }
  cancel = clock.after(intervalMs, again);
  return () => cancel();
}
