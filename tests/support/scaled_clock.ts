/** A real clock that runs fast, for tests that need real sockets and long times. */

import type { Clock } from "../../supabase/functions/_shared/ports/runtime.ts";
import { systemClock } from "../../supabase/functions/_shared/platform/system.ts";

/** Runs `factor` times as fast as real time. */
export function scaledClock(factor: number): Clock {
  const clock = systemClock();
  const startedAt = clock.now();
  return {
    now: () => startedAt + (clock.now() - startedAt) * factor,
    after: (delayMs, task) => clock.after(delayMs / factor, task),
  };
}
