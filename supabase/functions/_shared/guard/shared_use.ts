/**
 * Limits by user that hold across workers. This worker reports its usage to the ledger, and the ledger's answer lowers the
 * quota that is left here. Between two reports a worker applies only its own counts.
 */

import { toAgentError } from "../errors.ts";
import type { QuotaUsage, UseLedger, UseReport } from "../ports/quota.ts";
import type { CancelTimer, Clock, Log, WorkerLifetime } from "../ports/runtime.ts";
import type { RateLimiter } from "./rate_limiter.ts";
import type { Slot, Slots } from "./slots.ts";

/** Time between two reports while something is used, in milliseconds. */
export const REPORT_MS = 3000;
/** The same while there are only open connections: the ledger forgets those of a worker that is silent for 45 s. */
export const SILENCE_MS = 20_000;

export interface SharedUseOptions {
  clock: Clock;
  log: Log;
  lifetime: WorkerLifetime;
  ledger: UseLedger;
  limiter: RateLimiter;
  /** Connections held here, by key. */
  connections: Slots;
  /** Whether there are other workers to share with. */
  isShared(): boolean;
}

/** Where there are no other workers. */
export const NO_LEDGER: UseLedger = { report: () => Promise.resolve(new Map()) };

type Unreported = Omit<UseReport, "key" | "connections">;

export class SharedUse {
  readonly #options: SharedUseOptions;
  /** Usage since the last report, by key. */
  #unreported = new Map<string, Unreported>();
  /** Keys for which the ledger may count connections of this worker. */
  readonly #told = new Set<string>();
  #cancelTimer: CancelTimer | undefined;
  #dueAt = Infinity;
  #isStopped = false;

  constructor(options: SharedUseOptions) {
    this.#options = options;
    options.limiter.onTaken = (keys) => this.#used(keys);
    options.connections.onReleased = (key) => {
      if (this.#told.has(key)) this.#reportIn(REPORT_MS);
    };
  }

  /**
   * Takes a slot for one more connection of `key`, if that makes at most `max` at all workers; undefined if not. The ledger
   * hears of its release with the next report. Rejects as the ledger does; then no slot is held.
   */
  async connect(key: string, max: number): Promise<Slot | undefined> {
    const { connections, isShared } = this.#options;
    const slot = connections.take(key, max);
    if (slot === undefined || max === 0 || !isShared()) return slot;
    this.#told.add(key);
    this.#reportIn(SILENCE_MS);
    try {
      const usages = await this.#exchange([this.#reportOf(key)]);
      if ((usages.get(key)?.connections ?? 0) <= max) return slot;
    } catch (thrown) {
      slot.release();
      throw thrown;
    }
    slot.release();
    // Reported at once, so that the next connection is not refused because of the one just released.
    await this.#report([key]);
    return undefined;
  }

  /** Stops reporting: the worker is ending. */
  stop(): void {
    this.#isStopped = true;
    this.#cancelTimer?.();
  }

  #used(keys: readonly string[]): void {
    const { clock, isShared } = this.#options;
    if (!isShared()) return;
    const now = clock.now();
    for (const key of keys) {
      const { frames, framesSince } = this.#unreported.get(key) ?? { frames: 0, framesSince: now };
      this.#unreported.set(key, { frames: frames + 1, framesSince });
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
      this.#options.lifetime.hold(this.#report([...new Set([...this.#unreported.keys(), ...this.#told])]));
    });
  }

  async #report(keys: readonly string[]): Promise<void> {
    const { log, connections } = this.#options;
    const reports = keys.map((key) => this.#reportOf(key));
    try {
      await this.#exchange(reports);
      // If the report failed, the ledger may still count some: report them again.
      for (const { key, connections: told } of reports) {
        if (told === 0 && connections.count(key) === 0) this.#told.delete(key);
      }
    } catch (thrown) {
      // In doubt: a second report of the same usage could be charged twice.
      log.write({ level: "warn", event: "use_not_reported", error: toAgentError(thrown) });
    }
    if (this.#told.size > 0) this.#reportIn(SILENCE_MS);
  }

  #reportOf(key: string): UseReport {
    const now = this.#options.clock.now();
    const used = this.#unreported.get(key) ?? { frames: 0, framesSince: now };
    this.#unreported.delete(key);
    return { key, ...used, connections: this.#options.connections.count(key) };
  }

  async #exchange(reports: readonly UseReport[]): Promise<ReadonlyMap<string, QuotaUsage>> {
    const { clock, ledger, limiter } = this.#options;
    const askedAt = clock.now();
    const usages = await ledger.report(reports);
    for (const [key, { framesLeft }] of usages) {
      limiter.lower(key, framesLeft - (this.#unreported.get(key)?.frames ?? 0), askedAt);
    }
    return usages;
  }
}
