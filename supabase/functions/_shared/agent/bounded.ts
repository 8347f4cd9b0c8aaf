/** Work that ends: by itself, after its time, or when it is stopped. */

import type { Clock } from "../ports/runtime.ts";

export interface Bounds {
  clock: Pick<Clock, "after">;
  /** Milliseconds. */
  ms: number;
  signal?: AbortSignal;
}

/** Why work was given up. Its message is for the model. */
export class GivenUp extends Error {
  /** As libraries know it: supabase-js would send a request that failed otherwise again. */
  override readonly name = "AbortError";
}

/**
 * The result of `work`, whose signal is aborted when this has settled. Rejects as `work` does, or with
 * {@linkcode GivenUp} after `ms` milliseconds and when `signal` is aborted.
 */
export async function bounded<T>(
  { clock, ms, signal }: Bounds,
  work: (signal: AbortSignal) => T | PromiseLike<T>,
): Promise<T> {
  const own = new AbortController();
  const { promise: givenUp, reject } = Promise.withResolvers<never>();
  const giveUp = (why: string): void => {
    const reason = new GivenUp(why);
    reject(reason);
    own.abort(reason);
  };
  const stop = (): void => giveUp("it was stopped");
  if (signal?.aborted) throw new GivenUp("it was stopped");
  const cancelTimer = clock.after(ms, () => giveUp(`it took longer than ${ms} ms`));
  signal?.addEventListener("abort", stop, { once: true });
  try {
    const running = (async (): Promise<T> => await work(own.signal))();
    return await Promise.race([running, givenUp]);
  } finally {
    cancelTimer();
    signal?.removeEventListener("abort", stop);
    own.abort(new GivenUp("the call has ended"));
  }
}
