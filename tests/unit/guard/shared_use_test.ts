import assert from "node:assert/strict";
import { RateLimiter } from "../../../supabase/functions/_shared/guard/rate_limiter.ts";
import { REPORT_MS, SharedUse, SILENCE_MS } from "../../../supabase/functions/_shared/guard/shared_use.ts";
import { TokenBudget } from "../../../supabase/functions/_shared/guard/token_budget.ts";
import { AgentError } from "../../../supabase/functions/_shared/errors.ts";
import type { Standing, UseLedger, UseReport } from "../../../supabase/functions/_shared/ports.ts";
import { ManualClock, settle } from "../../support/manual_clock.ts";
import { RecordingLog } from "../../support/recording_log.ts";

const LIMITS = { perMinute: 60, burst: 20 };

/** The accounts as the database keeps them, for workers by name. */
class Ledger {
  isDown = false;
  readonly reports: UseReport[] = [];
  readonly #left = new Map<string, number>();
  readonly #tokens = new Map<string, number>();
  readonly #connections = new Map<string, Map<string, number>>();

  of(worker: string): UseLedger {
    return {
      settle: (reports): Promise<ReadonlyMap<string, Standing>> => {
        if (this.isDown) return Promise.reject(new AgentError("store_unavailable", "Cannot reach the store"));
        return Promise.resolve(new Map(reports.map((report) => [report.key, this.#book(worker, report)])));
      },
    };
  }

  #book(worker: string, report: UseReport): Standing {
    this.reports.push(report);
    const { key, frames, tokens, connections } = report;
    const framesLeft = (this.#left.get(key) ?? LIMITS.burst) - frames;
    const tokensToday = (this.#tokens.get(key) ?? 0) + tokens;
    const held = this.#connections.get(key) ?? new Map<string, number>();
    held.set(worker, connections);
    this.#left.set(key, framesLeft);
    this.#tokens.set(key, tokensToday);
    this.#connections.set(key, held);
    return { framesLeft, tokensToday, connections: [...held.values()].reduce((sum, n) => sum + n, 0) };
  }
}

interface Worker {
  limiter: RateLimiter;
  budget: TokenBudget;
  use: SharedUse;
}

function startWorkers({ isShared = true } = {}): {
  clock: ManualClock;
  ledger: Ledger;
  log: RecordingLog;
  a: Worker;
  b: Worker;
} {
  const clock = new ManualClock();
  const ledger = new Ledger();
  const log = new RecordingLog();
  const start = (name: string): Worker => {
    const limiter = new RateLimiter(clock, LIMITS);
    const budget = new TokenBudget(clock, 1000);
    const use = new SharedUse({
      clock,
      log,
      limiter,
      budget,
      lifetime: { hold: (): void => {} },
      ledger: ledger.of(name),
      isShared: () => isShared,
    });
    return { limiter, budget, use };
  };
  return { clock, ledger, log, a: start("a"), b: start("b") };
}

const ANN = "user:ann";

Deno.test("[LM1] SharedUse: frames at one worker are missing in the bucket of the other", async () => {
  const { clock, a, b } = startWorkers();
  for (let n = 0; n < 15; n++) assert.ok(a.limiter.take([ANN]).allowed);
  for (let n = 0; n < 4; n++) assert.ok(b.limiter.take([ANN]).allowed);
  clock.advance(REPORT_MS);
  await settle();
  assert.ok(b.limiter.take([ANN]).allowed);
  assert.equal(b.limiter.take([ANN]).allowed, false, "20 of them together");
  assert.ok(b.limiter.take(["user:bob"]).allowed);
});

Deno.test("[LM5] SharedUse: tokens of all workers count against one day's budget", async () => {
  const { clock, a, b } = startWorkers();
  a.budget.spend([ANN], 600);
  b.budget.spend([ANN], 500);
  assert.equal(a.budget.exhausted([ANN]), undefined);
  clock.advance(REPORT_MS);
  await settle();
  assert.ok(a.budget.exhausted([ANN]) === undefined && b.budget.exhausted([ANN]) !== undefined);
  a.budget.spend([ANN], 1);
  clock.advance(REPORT_MS);
  await settle();
  assert.notEqual(a.budget.exhausted([ANN]), undefined);
});

Deno.test("[LM3] SharedUse: connections are counted over all workers, and told again before they are forgotten", async () => {
  const { clock, ledger, a, b } = startWorkers();
  assert.equal(await a.use.connected(ANN, 1, 2), true);
  assert.equal(await b.use.connected(ANN, 1, 2), true);
  for (let attempt = 0; attempt < 3; attempt++) assert.equal(await b.use.connected(ANN, 2, 2), false);
  const before = ledger.reports.length;
  clock.advance(SILENCE_MS);
  await settle();
  assert.equal(ledger.reports.length, before + 2);
  b.use.disconnected(ANN, 0);
  clock.advance(REPORT_MS);
  await settle();
  assert.equal(await a.use.connected(ANN, 2, 2), true);
  a.use.disconnected(ANN, 0);
  clock.advance(SILENCE_MS);
  await settle();
  assert.equal(clock.pending, 0, "nothing to tell any more");
});

Deno.test("[LM1] SharedUse: where the ledger is away each worker counts for itself; alone it asks nobody", async () => {
  const { clock, ledger, log, a } = startWorkers();
  ledger.isDown = true;
  for (let n = 0; n < 20; n++) assert.ok(a.limiter.take([ANN]).allowed);
  clock.advance(REPORT_MS);
  await settle();
  assert.deepEqual(log.events, ["use_not_reported"]);
  assert.ok(a.limiter.take([ANN]).allowed, "what came back in the meantime");
  await assert.rejects(a.use.connected(ANN, 1, 9), { code: "store_unavailable" });
  const alone = startWorkers({ isShared: false });
  alone.a.limiter.take([ANN]);
  assert.deepEqual([await alone.a.use.connected(ANN, 3, 3), await alone.a.use.connected(ANN, 4, 3)], [
    true,
    false,
  ]);
  assert.deepEqual([alone.clock.pending, alone.ledger.reports.length], [0, 0]);
});
