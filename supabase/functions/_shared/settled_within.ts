/** Waiting that ends. */

import type { Clock } from "./ports/runtime.ts";

/** Whether `work` has settled within `ms` milliseconds. Rejects as `work` does, where it does so in time. */
export async function settledWithin(
  clock: Pick<Clock, "after">,
  ms: number,
  work: Promise<unknown>,
): Promise<boolean> {
  const { promise: tooLate, resolve } = Promise.withResolvers<boolean>();
  const cancelTimer = clock.after(ms, () => resolve(false));
  try {
    return await Promise.race([work.then(() => true), tooLate]);
  } finally {
    cancelTimer();
  }
}
