/** How often a connection may send: each frame costs a token of everyone that it is counted under. */

import { AgentError } from "../errors.ts";
import type { RateLimiter } from "../guard/rate_limiter.ts";
import type { Clock } from "../ports/runtime.ts";

/** Frames refused for their rate within a minute, after which the connection is closed. */
const MAX_REFUSED_PER_MINUTE = 100;

export class FrameRate {
  readonly #clock: Clock;
  readonly #limiter: RateLimiter;
  #refusedCount = 0;
  #refusedSince = 0;

  constructor(clock: Clock, limiter: RateLimiter) {
    this.#clock = clock;
    this.#limiter = limiter;
  }

  /** Whether so many frames were refused that it is no mistake. */
  get isAbused(): boolean {
    return this.#refusedCount >= MAX_REFUSED_PER_MINUTE;
  }

  /** Charges a frame to `keys`, or answers why it is refused. */
  charge(keys: readonly string[]): AgentError | undefined {
    const verdict = this.#limiter.take(keys);
    if (verdict.allowed) return undefined;
    const now = this.#clock.now();
    if (now - this.#refusedSince > 60_000) {
      this.#refusedSince = now;
      this.#refusedCount = 0;
    }
    const { retryAfterMs, limit, remaining } = verdict;
    this.#refusedCount++;
    return new AgentError("rate_limited", `Cannot take frame: more than ${limit} a minute`, {
      retryable: true,
      retryAfterMs,
      data: { limit, remaining },
    });
  }
}
