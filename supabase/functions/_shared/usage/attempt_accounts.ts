/** The accounts of a worker: rows for its requests to the provider, the day's budget, metrics, and what the provider tells later. */

import type { Metrics } from "../metrics.ts";
import type { AttemptEnd, AttemptRequest } from "../ports/attempt.ts";
import type { Clock, Ids, Log, WorkerLifetime } from "../ports/runtime.ts";
import type {
  AttemptLedger,
  AttemptRow,
  DailyBudget,
  GenerationReader,
  UsageAnswer,
} from "../ports/usage.ts";
import type { Usage } from "../protocol/log_event.ts";
import { CallMeter, type CallMeterDeps, type MeteredCall, openRow } from "./call_meter.ts";
import { Reconciler } from "./reconciler.ts";
import { tokensOf } from "./token_estimate.ts";
import { UsageQueue } from "./usage_queue.ts";

/** How long a budget counts as used up without another look: other workers may correct what was estimated. */
const LOOK_AGAIN_MS = 30_000;
/** Keys that are remembered as used up. */
const MAX_KEYS = 10_000;
/**
 * How long before a take-over the request of the other worker counts as begun: longer than the times of two calls differ, and shorter
 * than any lease. So the row of a worker that was only cut off is older, and replaces this one.
 */
const INFERRED_BEFORE_MS = 250;

export interface AttemptAccountsOptions {
  clock: Clock;
  ids: Pick<Ids, "uuid">;
  log: Log;
  metrics: Metrics;
  lifetime: WorkerLifetime;
  budget: DailyBudget;
  /** Where the rows go now. Undefined where there is neither a database nor a budget. */
  ledger(): AttemptLedger | undefined;
  /** Undefined where the provider cannot be asked later. */
  reader?: GenerationReader | undefined;
}

export class AttemptAccounts {
  readonly #clock: Clock;
  readonly #metrics: Metrics;
  readonly #queue: UsageQueue;
  readonly #deps: CallMeterDeps;
  readonly #reconciler: Reconciler | undefined;
  /** By quota key: until when, in milliseconds since the epoch, and when that was learnt. */
  readonly #usedUp = new Map<string, { until: number; at: number }>();

  constructor({ clock, ids, log, metrics, lifetime, budget, ledger, reader }: AttemptAccountsOptions) {
    this.#clock = clock;
    this.#metrics = metrics;
    this.#reconciler = reader && new Reconciler({ clock, lifetime, reader });
    this.#queue = new UsageQueue({
      clock,
      log,
      lifetime,
      ledger,
      onAnswer: (answer, quotaKeys) => this.#learn(answer, quotaKeys),
    });
    this.#deps = {
      clock,
      ids,
      queue: this.#queue,
      isLimited: budget.tokens > 0 || budget.cost > 0,
      onEnded: (row, how) => this.#ended(row, how),
    };
  }

  /** Milliseconds until the next day where one of the quotas is known to be used up; undefined where none is. */
  exhausted(quotaKeys: readonly string[]): number | undefined {
    const now = this.#clock.now();
    for (const key of quotaKeys) {
      const known = this.#usedUp.get(key);
      if (known !== undefined && now < known.until && now < known.at + LOOK_AGAIN_MS) {
        return known.until - now;
      }
    }
    return undefined;
  }

  /** For one call of the model. */
  meter(call: MeteredCall): CallMeter {
    return new CallMeter(call, this.#deps);
  }

  /**
   * This worker has taken over a turn of which another has written `chars` characters. That one may have been killed before it could
   * book its request.
   */
  tookOver(call: MeteredCall, { request, chars }: { request: AttemptRequest; chars: number }): void {
    const row = openRow(call, request, this.#deps);
    const completionTokens = tokensOf(chars);
    const begunAt = row.begunAt - INFERRED_BEFORE_MS;
    this.#queue.save({
      ...row,
      completionTokens,
      outcome: "lost",
      begunAt,
      endedAt: row.begunAt,
      inferred: true,
    });
  }

  /** Books what is left, as the worker is ending. */
  async close(): Promise<void> {
    await this.#queue.close();
  }

  #learn({ usedUp, dayLeftMs, lost }: UsageAnswer, quotaKeys: ReadonlySet<string>): void {
    const at = this.#clock.now();
    for (const key of quotaKeys) this.#usedUp.delete(key);
    for (const key of usedUp) this.#usedUp.set(key, { until: at + dayLeftMs, at });
    for (const key of this.#usedUp.keys()) {
      if (this.#usedUp.size <= MAX_KEYS) break;
      this.#usedUp.delete(key);
    }
    for (const { id, generationId } of lost) {
      this.#reconciler?.add(generationId, (usage) => usage && this.#queue.correct({ id, usage }));
    }
  }

  #ended(row: AttemptRow, how: AttemptEnd["how"]): void {
    this.#metrics.count("model_attempts_total", row.outcome);
    const { id, generationId, estimated } = row;
    if (!estimated || how === "refused" || generationId === undefined || this.#reconciler === undefined) {
      return this.#count(row);
    }
    this.#reconciler.add(generationId, (usage) => {
      if (usage === undefined) return this.#count(row);
      this.#queue.correct({ id, usage });
      this.#count(reportedBy(usage));
    });
  }

  #count({ promptTokens, completionTokens, cost }: Counted): void {
    this.#metrics.count("tokens_total", "prompt", promptTokens);
    this.#metrics.count("tokens_total", "completion", completionTokens);
    this.#metrics.count("cost_usd_total", "", cost ?? 0);
  }
}

type Counted = Pick<AttemptRow, "promptTokens" | "completionTokens" | "cost">;

function reportedBy({ prompt_tokens, completion_tokens, cost }: Usage): Counted {
  return { promptTokens: prompt_tokens, completionTokens: completion_tokens, cost };
}
