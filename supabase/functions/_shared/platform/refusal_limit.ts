/** Limits refused requests by the address of the caller that caused them. */

import type { Clock } from "../ports/runtime.ts";

const WINDOW_MS = 60_000;
const MAX_REFUSALS = 20;
/** The oldest windows are dropped first. */
const MAX_ADDRESSES = 10_000;

interface Window {
  readonly startedAt: number;
  refusals: number;
  /** Requests without an answer yet: each may become a refusal. */
  underWay: number;
  /** Resolves when one of them is answered. */
  answered: PromiseWithResolvers<void>;
}

/** Permission for one request, or when to retry. */
export type Leave =
  | { /** Must be called once, when the answer is known. */ settle(isRefusal: boolean): void }
  | { /** Milliseconds. */ retryAfterMs: number };

/** At most 20 refusals per minute and address. Requests that are not refused are not limited. */
export class RefusalLimit {
  readonly #clock: Clock;
  readonly #windows = new Map<string, Window>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Waits while the requests under way could use up the limit. */
  async ask(address: string): Promise<Leave> {
    for (;;) {
      const window = this.#window(address);
      if (window.refusals >= MAX_REFUSALS) {
        return { retryAfterMs: window.startedAt + WINDOW_MS - this.#clock.now() };
      }
      if (window.refusals + window.underWay < MAX_REFUSALS) {
        window.underWay++;
        return { settle: (isRefusal) => settle(window, isRefusal) };
      }
      await window.answered.promise;
    }
  }

  #window(address: string): Window {
    const now = this.#clock.now();
    const known = this.#windows.get(address);
    if (known !== undefined && now - known.startedAt < WINDOW_MS) return known;
    const window = { startedAt: now, refusals: 0, underWay: 0, answered: Promise.withResolvers<void>() };
    // Deleted first, so that the map is in order of age.
    this.#windows.delete(address);
    this.#windows.set(address, window);
    const [oldest] = this.#windows.keys();
    if (this.#windows.size > MAX_ADDRESSES && oldest !== undefined) this.#windows.delete(oldest);
    return window;
  }
}

function settle(window: Window, isRefusal: boolean): void {
  window.underWay--;
  if (isRefusal) window.refusals++;
  window.answered.resolve();
  window.answered = Promise.withResolvers();
}
