/** Token buckets, one for each key: a user, a session, an address. */

import type { Clock } from "../ports.ts";

/** Past so many buckets the full ones are dropped: a full bucket is the same as none. */
const SWEEP_AT = 10_000;

export interface RateLimits {
  /** Tokens that come back each minute; 0 switches the limit off. */
  perMinute: number;
  /** Tokens of a full bucket. */
  burst: number;
}

/** `allowed`, or how long until one token is back. */
export type RateVerdict =
  | { allowed: true }
  | { allowed: false; retryAfterMs: number; limit: number; remaining: number };

interface Bucket {
  tokens: number;
  /** When `tokens` was right. */
  at: number;
}

const ALLOWED: RateVerdict = { allowed: true };

export class RateLimiter {
  readonly #clock: Clock;
  readonly #limits: RateLimits;
  readonly #buckets = new Map<string, Bucket>();
  /** Called with the keys whenever a token was taken. */
  onTaken: ((keys: readonly string[]) => void) | undefined;
  #sweepAt = SWEEP_AT;

  constructor(clock: Clock, limits: RateLimits) {
    this.#clock = clock;
    this.#limits = limits;
  }

  /** Takes one token from the bucket of every key, or from none of them. */
  take(keys: readonly string[]): RateVerdict {
    const { perMinute } = this.#limits;
    if (perMinute === 0) return ALLOWED;
    const now = this.#clock.now();
    const buckets = keys.map((key) => this.#refilled(key, now));
    const poorest = Math.min(...buckets.map((bucket) => bucket.tokens));
    if (poorest < 1) {
      const retryAfterMs = Math.ceil((1 - poorest) * 60_000 / perMinute);
      return { allowed: false, retryAfterMs, limit: perMinute, remaining: 0 };
    }
    for (const bucket of buckets) bucket.tokens--;
    this.onTaken?.(keys);
    if (this.#buckets.size > this.#sweepAt) this.#dropFull(now);
    return ALLOWED;
  }

  /** There is no more than this left in the bucket of `key`: others have taken from it too. */
  lower(key: string, tokens: number): void {
    if (this.#limits.perMinute === 0) return;
    const bucket = this.#refilled(key, this.#clock.now());
    bucket.tokens = Math.min(bucket.tokens, tokens);
  }

  #refilled(key: string, now: number): Bucket {
    const { perMinute, burst } = this.#limits;
    let bucket = this.#buckets.get(key);
    if (bucket === undefined) this.#buckets.set(key, bucket = { tokens: burst, at: now });
    bucket.tokens = Math.min(burst, bucket.tokens + Math.max(0, now - bucket.at) * perMinute / 60_000);
    bucket.at = now;
    return bucket;
  }

  #dropFull(now: number): void {
    for (const key of [...this.#buckets.keys()]) {
      if (this.#refilled(key, now).tokens >= this.#limits.burst) this.#buckets.delete(key);
    }
    // Buckets that are all in use must not be swept again for every frame.
    this.#sweepAt = Math.max(SWEEP_AT, 2 * this.#buckets.size);
  }
}
