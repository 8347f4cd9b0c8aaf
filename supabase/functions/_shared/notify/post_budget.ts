/**
 * How many posts a worker may make to Realtime, over all topics.
 *
 * Realtime counts for the whole project: each message once when it is taken, and once for each connection that it is
 * delivered to. Over the limit it refuses posts (429) and closes channels for every member. So a worker has a number of
 * posts a second, makes fewer when Realtime says that the project comes near its limit, and none for a while after a
 * refusal. docs/decisions/0049 has the figures.
 */

import type { RelayPressure } from "../ports/relay.ts";
import type { Clock } from "../ports/runtime.ts";

/** `prompt` waits for nothing but the budget; `background` leaves the last post of a burst to it. */
export type Lane = "prompt" | "background";

/** The burst, as a part of what a second allows. */
const BURST_S = 0.25;
/** The part of the project's limit from which on a worker slows down, and at which it hardly posts. */
const CALM = 0.4;
const NEAR = 0.8;
const MIN_PACE = 0.025;
/**
 * A worker begins at half its pace, and gains so much a second at most: what Realtime says is the average of a minute, so
 * the others' posts show in it late.
 */
const FIRST_PACE = 0.5;
const GAIN_PER_SECOND = 0.05;
/** After a refusal, doubled with each that follows. Realtime recomputes its average every five seconds. */
const FIRST_BACKOFF_MS = 1000;
const MAX_BACKOFF_MS = 15_000;

export interface PostBudgetOptions {
  clock: Pick<Clock, "now">;
  /** From 0 up to 1. */
  random(): number;
  /** Posts a second; 0 for any number. */
  perSecond: number;
}

export class PostBudget {
  readonly #options: PostBudgetOptions;
  #tokens: number;
  #filledAt: number;
  /** The part of the budget that is used, from {@linkcode MIN_PACE} to 1. */
  #pace = FIRST_PACE;
  #observedAt: number;
  #refusals = 0;
  #blockedUntil = -Infinity;

  constructor(options: PostBudgetOptions) {
    this.#options = options;
    this.#tokens = this.#burst;
    this.#filledAt = this.#observedAt = options.clock.now();
  }

  /** Milliseconds until a post may go; 0 for now. */
  waitMs(lane: Lane): number {
    const blockedMs = this.blockedMs;
    const { perSecond } = this.#options;
    if (perSecond === 0) return blockedMs;
    this.#refill();
    const missing = (lane === "background" && this.#burst >= 2 ? 2 : 1) - this.#tokens;
    // Rounded, as of a tenth that was added ten times something is missing.
    const refillMs = missing > 1e-9 ? Math.ceil(missing * 1000 / (perSecond * this.#pace)) : 0;
    return Math.max(blockedMs, refillMs);
  }

  /** Milliseconds for which nothing goes because Realtime has refused; 0 where it has not. */
  get blockedMs(): number {
    return Math.max(0, this.#blockedUntil - this.#options.clock.now());
  }

  /** A post goes, whether there is something left for it or not. */
  spend(): void {
    this.#refill();
    this.#tokens = Math.max(0, this.#tokens - 1);
  }

  /** Takes what Realtime says of the project's rate. */
  observe({ isRefused, retryAfterMs = 0, rate }: RelayPressure): void {
    this.#refill();
    if (isRefused) {
      this.#pace = Math.max(MIN_PACE, this.#pace / 2);
      this.#observedAt = this.#options.clock.now();
      // Posts that were under way together are refused together: that counts once.
      if (this.blockedMs > 0) return;
      const { clock, random } = this.#options;
      const backoffMs = (0.5 + random() / 2) *
        Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** this.#refusals++);
      this.#blockedUntil = clock.now() + Math.ceil(Math.max(backoffMs, retryAfterMs));
      return;
    }
    this.#refusals = 0;
    const now = this.#options.clock.now();
    const gained = this.#pace + (now - this.#observedAt) * GAIN_PER_SECOND / 1000;
    this.#observedAt = now;
    const free = rate === undefined || rate.limit <= 0
      ? 1
      : Math.max(MIN_PACE, (NEAR - rate.perSecond / rate.limit) / (NEAR - CALM));
    this.#pace = Math.min(1, free, gained);
  }

  /** After a refusal one post goes, and others when that was taken. */
  get #burst(): number {
    return this.#refusals > 0 ? 1 : Math.max(1, this.#options.perSecond * BURST_S);
  }

  #refill(): void {
    const now = this.#options.clock.now();
    const gained = Math.max(0, now - this.#filledAt) * this.#options.perSecond * this.#pace / 1000;
    this.#tokens = Math.min(this.#burst, this.#tokens + gained);
    this.#filledAt = now;
  }
}
