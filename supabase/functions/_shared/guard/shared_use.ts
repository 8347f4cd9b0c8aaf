/**
 * Limits by user that hold across workers: what is used here is reported to the ledger, and what it answers lowers what is
 * left here. Between two reports a worker lets through what it alone would.
 */

import { toAgentError } from "../errors.ts";
import type { CancelTimer, Clock, Log, Standing, UseLedger, UseReport, WorkerLifetime } from "../ports.ts";
import type { RateLimiter } from "./rate_limiter.ts";
import type { TokenBudget } from "./token_budget.ts";

/** Time between two reports while something is used, in milliseconds. */
export const REPORT_MS = 3000;
/** The same while connections are held and nothing else: the ledger forgets those of a worker that is silent for 45 s. */
export const SILENCE_MS = 20_000;

export interface SharedUseOptions {
  clock: Clock;
  log: Log;
  lifetime: WorkerLifetime;
  ledger: UseLedger;
  limiter: RateLimiter;
  budget: TokenBudget;
  /** Whether there are other workers to share with. */
  isShared(): boolean;
}

/** Where there are no other workers. */
export const NO_LEDGER: UseLedger = { settle: () => Promise.resolve(new Map()) };

type Unreported = Pick<UseReport, "frames" | "tokens">;

export class SharedUse {
  readonly #options: SharedUseOptions;
  /** What was used since the last report, by key. */
  #unreported = new Map<string, Unreported>();
  /** Connections held here, by key. */
  readonly #connections = new Map<string, number>();
  #cancelTimer: CancelTimer | undefined;
  #dueAt = Infinity;
  #isStopped = false;

  constructor(options: SharedUseOptions) {
    this.#options = options;
    options.limiter.onTaken = (keys) => this.#used(keys, { frames: 1, tokens: 0 });
    options.budget.onSpent = (keys, tokens) => this.#used(keys, { frames: 0, tokens });
  }

  /**
   * A user has come with one more connection, and would hold `held` here. Answers whether that makes at most `max` at all
   * workers; if not it is taken back at once, so that the next one is not refused for it. Rejects as the ledger does.
   */
  async connected(key: string, held: number, max: number): Promise<boolean> {
    if (!this.#options.isShared()) return held <= max;
    const total = await this.#holds(key, held);
    if (total > max) await this.#holds(key, held - 1);
    this.#reportIn(SILENCE_MS);
    return total <= max;
  }

  /** A user has let a connection go, and holds `held` more. The ledger hears of it with the next report. */
  disconnected(key: string, held: number): void {
    if (!this.#connections.has(key)) return;
    this.#connections.set(key, held);
    this.#reportIn(REPORT_MS);
  }

  /** Reports no more: the worker is ending. */
  stop(): void {
    this.#isStopped = true;
    this.#cancelTimer?.();
  }

  async #holds(key: string, connections: number): Promise<number> {
    this.#connections.set(key, connections);
    const standings = await this.#settle([{ key, ...this.#take(key), connections }]);
    return standings.get(key)?.connections ?? connections;
  }

  #used(keys: readonly string[], { frames, tokens }: Unreported): void {
    if (!this.#options.isShared()) return;
    for (const key of keys) {
      const before = this.#unreported.get(key);
      this.#unreported.set(key, {
        frames: (before?.frames ?? 0) + frames,
        tokens: (before?.tokens ?? 0) + tokens,
      });
    }
    this.#reportIn(REPORT_MS);
  }

  #reportIn(ms: number): void {
    const { clock } = this.#options;
    const dueAt = clock.now() + ms;
    if (this.#isStopped || dueAt >= this.#dueAt) return;
    this.#cancelTimer?.();
    this.#dueAt = dueAt;
    this.#cancelTimer = clock.after(ms, () => {
      this.#dueAt = Infinity;
      this.#options.lifetime.hold(this.#report());
    });
  }

  async #report(): Promise<void> {
    const { log } = this.#options;
    const keys = new Set([...this.#unreported.keys(), ...this.#connections.keys()]);
    const reports = Array.from(keys, (key): UseReport => ({
      key,
      ...this.#take(key),
      connections: this.#connections.get(key) ?? 0,
    }));
    for (const [key, held] of this.#connections) if (held === 0) this.#connections.delete(key);
    try {
      await this.#settle(reports);
    } catch (thrown) {
      // It may have been booked: what is reported twice would be charged twice.
      log.write({ level: "warn", event: "use_not_reported", error: toAgentError(thrown) });
    }
    if (this.#connections.size > 0) this.#reportIn(SILENCE_MS);
  }

  #take(key: string): Unreported {
    const used = this.#unreported.get(key) ?? { frames: 0, tokens: 0 };
    this.#unreported.delete(key);
    return used;
  }

  async #settle(reports: readonly UseReport[]): Promise<ReadonlyMap<string, Standing>> {
    const { ledger, limiter, budget } = this.#options;
    const standings = await ledger.settle(reports);
    for (const [key, { framesLeft, tokensToday }] of standings) {
      const since = this.#unreported.get(key);
      limiter.lower(key, framesLeft - (since?.frames ?? 0));
      budget.raise(key, tokensToday + (since?.tokens ?? 0));
    }
    return standings;
  }
}
