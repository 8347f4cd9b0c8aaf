/** When to ask again. */

import type { Clock } from "../ports/runtime.ts";

/** A provider that wants to be left alone for longer fails the turn: its user should not stare at a wait. */
export const MAX_RETRY_WAIT_MS = 20_000;
const FIRST_BACKOFF_MS = 500;
const MAX_BACKOFF_MS = 8000;

/** Milliseconds that a `Retry-After` header asks for, in seconds or as a date; undefined if it says nothing of use. */
export function parseRetryAfter(header: string | null, clock: Clock): number | undefined {
  if (header === null) return undefined;
  const text = header.trim();
  if (/^\d+(\.\d+)?$/.test(text)) return Math.ceil(Number(text) * 1000);
  // Only what looks like an HTTP date: Date.parse makes years of stray numbers.
  const at = /^[a-z]{3}.*\d{2}:\d{2}:\d{2}/i.test(text) ? Date.parse(text) : NaN;
  return Number.isNaN(at) ? undefined : Math.max(0, at - clock.now());
}

/**
 * How long to wait before attempt `failures + 1`, in milliseconds: doubling from 500, of which the upper half is left
 * to chance, so that workers that failed together do not come back together. Never less than `retryAfterMs`.
 */
export function backoffMs(
  failures: number,
  options: { random: number; retryAfterMs?: number | undefined },
): number {
  const full = Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** (failures - 1));
  return Math.max(options.retryAfterMs ?? 0, Math.round(full * (0.5 + options.random / 2)));
}

/** Waits for `ms`; rejects with the signal's reason as soon as that is aborted. */
export function pause(ms: number, options: { clock: Clock; signal: AbortSignal }): Promise<void> {
  const { clock, signal } = options;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      cancel();
      reject(signal.reason);
    };
    const cancel = clock.after(ms, () => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    });
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
  });
}
