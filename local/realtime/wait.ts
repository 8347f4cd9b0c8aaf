import type { Clock } from "../../supabase/functions/_shared/ports/runtime.ts";

/** Resolves after `delayMs` milliseconds, or as soon as `signal` aborts. */
export async function wait(
  delayMs: number,
  { clock, signal }: { clock: Clock; signal: AbortSignal },
): Promise<void> {
  if (delayMs <= 0 || signal.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const cancel = clock.after(delayMs, resolve);
  const onAbort = (): void => resolve();
  signal.addEventListener("abort", onAbort);
  await promise;
  signal.removeEventListener("abort", onAbort);
  cancel();
}
