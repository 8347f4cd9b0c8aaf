/** Token buckets, one for each key: a user, a session, an address. */

import type { Clock } from "../ports/runtime.ts";

/** Past so many buckets the full ones are dropped: a full bucket is the same as none. */
const SWEEP_AT = 10_000;
/** Past so many that are in use the oldest are dropped too: who has so many keys is not limited by any of them. */
const MAX_BUCKETS = 100_000;

export interface RateLimits {
  /** Tokens that come back each minute; 0 switches the limit off. */
  perMinute: number;
  /** Tokens of a full bucket. */
  burst: number;
}

/** `allowed`, or how long until one token is back: a promise that holds whatever is reported meanwhile. */
export type RateVerdict =
  | { allowed: true }
  | { allowed: false; retryAfterMs: number; limit: number; remaining: number };

interface Bucket {
  tokens: number;
  /** When `tokens` was right. */
  at: number;
  /** The time from which one token may be taken whatever `tokens` says: a client was given this time to retry. */
  promisedAt: number;
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

  /** Buckets that are kept. */
  get size(): number {
    return this.#buckets.size;
  }

  /** Takes one token from the bucket of every key, or from none of them. */
  take(keys: readonly string[]): RateVerdict {
    if (this.#limits.perMinute === 0) return ALLOWED;
    const now = this.#clock.now();
    const buckets = keys.map((key) => this.#refilled(key, now));
    const waitMs = Math.max(...buckets.map((bucket) => this.#waitMs(bucket, now)));
    if (waitMs > 0) {
      for (const bucket of buckets) {
        if (this.#waitMs(bucket, now) > 0) bucket.promisedAt = Math.min(bucket.promisedAt, now + waitMs);
      }
      return this.#refusal(waitMs);
    }
    for (const bucket of buckets) {
      bucket.tokens--;
      if (bucket.promisedAt <= now) bucket.promisedAt = Infinity;
    }
    this.onTaken?.(keys);
    if (this.#buckets.size > this.#sweepAt) this.#sweep(now);
    return ALLOWED;
  }

  /** What {@linkcode take} would say. Takes and promises nothing. */
  check(key: string): RateVerdict {
    if (this.#limits.perMinute === 0 || !this.#buckets.has(key)) return ALLOWED;
    const now = this.#clock.now();
    const waitMs = this.#waitMs(this.#refilled(key, now), now);
    return waitMs > 0 ? this.#refusal(waitMs) : ALLOWED;
  }

  /** At `asOf` there were no more than this left in the bucket of `key`: others have taken from it too. */
  lower(key: string, tokens: number, asOf = this.#clock.now()): void {
    if (this.#limits.perMinute === 0) return;
    const now = this.#clock.now();
    const bucket = this.#refilled(key, now);
    bucket.tokens = Math.min(bucket.tokens, tokens + this.#gained(now - asOf));
  }

  #refusal(retryAfterMs: number): RateVerdict {
    return { allowed: false, retryAfterMs, limit: this.#limits.perMinute, remaining: 0 };
  }

  /** Whole milliseconds until a token may be taken. */
  #waitMs({ tokens, promisedAt }: Bucket, now: number): number {
    // A millionth less, as sums of fractions are not exact.
    const untilRefilledMs = Math.ceil((1 - tokens) * 60_000 / this.#limits.perMinute - 1e-6);
    return Math.max(0, Math.min(untilRefilledMs, promisedAt - now));
  }

  #gained(ms: number): number {
    return Math.max(0, ms) * this.#limits.perMinute / 60_000;
  }

  #refilled(key: string, now: number): Bucket {
    const { burst } = this.#limits;
    let bucket = this.#buckets.get(key);
    if (bucket === undefined) {
      this.#buckets.set(key, bucket = { tokens: burst, at: now, promisedAt: Infinity });
    }
    bucket.tokens = Math.min(burst, bucket.tokens + this.#gained(now - bucket.at));
    bucket.at = now;
    return bucket;
  }

  #sweep(now: number): void {
    for (const key of [...this.#buckets.keys()]) {
      if (this.#refilled(key, now).tokens >= this.#limits.burst) this.#buckets.delete(key);
    }
    for (const key of this.#buckets.keys()) {
      if (this.#buckets.size <= MAX_BUCKETS) break;
      this.#buckets.delete(key);
    }
    // Buckets that are all in use must not be swept again for every frame.
    this.#sweepAt = Math.min(2 * MAX_BUCKETS, Math.max(SWEEP_AT, 2 * this.#buckets.size));
  }
}
