import assert from "node:assert/strict";
import { RateLimiter } from "../../../supabase/functions/_shared/guard/rate_limiter.ts";
import { REPORT_MS, SharedUse, SILENCE_MS } from "../../../supabase/functions/_shared/guard/shared_use.ts";
import { Slots } from "../../../supabase/functions/_shared/guard/slots.ts";
import { AgentError } from "../../../supabase/functions/_shared/errors.ts";
import type { QuotaUsage, UseLedger, UseReport } from "../../../supabase/functions/_shared/ports/quota.ts";
import { ManualClock, settle } from "../../support/manual_clock.ts";
import { RecordingLog } from "../../support/recording_log.ts";

const LIMITS = { perMinute: 60, burst: 20 };

/** The accounts as the database keeps them, for workers by name. */
class Ledger {
  isDown = false;
  /** Answers wait until this resolves. */
  gate: Promise<void> = Promise.resolve();
  readonly reports: UseReport[] = [];
  readonly #clock: ManualClock;
  readonly #buckets = new Map<string, { left: number; at: number }>();
  readonly #connections = new Map<string, Map<string, number>>();

  constructor(clock: ManualClock) {
    this.#clock = clock;
  }

  of(worker: string): UseLedger {
    return {
      report: async (reports): Promise<ReadonlyMap<string, QuotaUsage>> => {
        const { gate } = this;
        if (this.isDown) throw new AgentError("store_unavailable", "Cannot reach the store");
        const usages = new Map(reports.map((report) => [report.key, this.#book(worker, report)]));
        await gate;
        return usages;
      },
    };
  }

  connections(key: string): number {
    return [...this.#connections.get(key)?.values() ?? []].reduce((sum, count) => sum + count, 0);
  }

  #book(worker: string, report: UseReport): QuotaUsage {
    this.reports.push(report);
    const { key, frames, framesSince, connections } = report;
    const now = this.#clock.now();
    const refilled = ({ left, at }: { left: number; at: number }, until: number): number =>
      Math.min(LIMITS.burst, left + Math.max(0, until - at) * LIMITS.perMinute / 60_000);
    const bucket = this.#buckets.get(key) ?? { left: LIMITS.burst, at: framesSince };
    if (frames > 0) {
      bucket.left = refilled(bucket, framesSince) - frames;
      bucket.at = Math.max(bucket.at, framesSince);
    }
    this.#buckets.set(key, bucket);
    const held = this.#connections.get(key) ?? new Map<string, number>();
    held.set(worker, connections);
    this.#connections.set(key, held);
    return { framesLeft: refilled(bucket, now), connections: this.connections(key) };
  }
}

interface Worker {
  limiter: RateLimiter;
  use: SharedUse;
  connections: Slots;
}

function startWorkers({ isShared = true }: { isShared?: boolean } = {}): {
  clock: ManualClock;
  ledger: Ledger;
  log: RecordingLog;
  a: Worker;
  b: Worker;
} {
  const clock = new ManualClock();
  const ledger = new Ledger(clock);
  const log = new RecordingLog();
  const start = (name: string): Worker => {
    const limiter = new RateLimiter(clock, LIMITS);
    const connections = new Slots();
    const use = new SharedUse({
      clock,
      log,
      limiter,
      connections,
      lifetime: { hold: (): void => {} },
      ledger: ledger.of(name),
      isShared: () => isShared,
    });
    return { limiter, use, connections };
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
  let more = 0;
  while (b.limiter.take([ANN]).allowed) more++;
  assert.equal(15 + 4 + more, 20 + 3, "of them together, with the three that came back");
  assert.ok(b.limiter.take(["user:bob"]).allowed);
});

Deno.test("[LM1] [LM11] SharedUse: a late report does not put off the frame that was promised", async () => {
  const { clock, a } = startWorkers();
  for (let n = 0; n < LIMITS.burst; n++) assert.ok(a.limiter.take([ANN]).allowed);
  clock.advance(REPORT_MS - 100);
  for (let n = 0; n < 2; n++) assert.ok(a.limiter.take([ANN]).allowed);
  const refused = a.limiter.take([ANN]);
  assert.ok(!refused.allowed);
  assert.equal(refused.retryAfterMs, 100);
  clock.advance(100);
  await settle();
  assert.ok(a.limiter.take([ANN]).allowed, "the refill began with the first frame, not with the report");
  const again = a.limiter.take([ANN]);
  assert.ok(!again.allowed && again.retryAfterMs === 1000);
});

Deno.test("[LM1] [LM11] SharedUse: what others take puts off the frame after the promised one", async () => {
  const { clock, a, b } = startWorkers();
  for (const { limiter } of [b, a]) {
    for (let n = 0; n < LIMITS.burst; n++) assert.ok(limiter.take([ANN]).allowed);
    clock.advance(REPORT_MS / 2);
  }
  clock.advance(REPORT_MS / 2 - 100);
  for (let n = 0; n < 2; n++) assert.ok(a.limiter.take([ANN]).allowed);
  const refused = a.limiter.take([ANN]);
  assert.ok(!refused.allowed && refused.retryAfterMs === 100);
  clock.advance(100);
  await settle();
  assert.ok(a.limiter.take([ANN]).allowed);
  const next = a.limiter.take([ANN]);
  assert.ok(!next.allowed && next.retryAfterMs > 15_000, "both together are far over it");
});

Deno.test("[LM3] SharedUse: connections are counted over all workers, and told again before they are forgotten", async () => {
  const { clock, ledger, a, b } = startWorkers();
  const [ours, theirs] = [await a.use.connect(ANN, 2), await b.use.connect(ANN, 2)];
  assert.ok(ours !== undefined && theirs !== undefined);
  for (let attempt = 0; attempt < 3; attempt++) assert.equal(await b.use.connect(ANN, 2), undefined);
  assert.equal(ledger.connections(ANN), 2);
  const before = ledger.reports.length;
  clock.advance(SILENCE_MS);
  await settle();
  assert.equal(ledger.reports.length, before + 2);
  theirs.release();
  theirs.release();
  clock.advance(REPORT_MS);
  await settle();
  const second = await a.use.connect(ANN, 2);
  assert.ok(second !== undefined);
  for (const slot of [ours, second]) slot.release();
  clock.advance(SILENCE_MS);
  await settle();
  assert.equal(ledger.connections(ANN), 0);
  assert.equal(clock.pending, 0, "nothing to tell any more");
});

Deno.test("[LM3] SharedUse: those who leave while the ledger is asked are counted nowhere", async () => {
  const { clock, ledger, a, b } = startWorkers();
  const gate = Promise.withResolvers<void>();
  ledger.gate = gate.promise;
  const coming = Array.from({ length: 12 }, () => a.use.connect(ANN, 10));
  // Each of them leaves as soon as it is admitted.
  const leaving = coming.map(async (slot) => (await slot)?.release());
  gate.resolve();
  await Promise.all(leaving);
  assert.equal(a.connections.count(ANN), 0);
  clock.advance(REPORT_MS);
  await settle();
  assert.equal(ledger.connections(ANN), 0);
  const slots = await Promise.all(Array.from({ length: 10 }, () => b.use.connect(ANN, 10)));
  assert.ok(slots.every((slot) => slot !== undefined));
});

Deno.test("[LM3] SharedUse: a release that could not be told is told when the ledger is back", async () => {
  const { clock, ledger, a } = startWorkers();
  const slot = await a.use.connect(ANN, 2);
  slot?.release();
  ledger.isDown = true;
  await assert.rejects(a.use.connect(ANN, 2), { code: "store_unavailable" });
  assert.equal(a.connections.count(ANN), 0);
  clock.advance(REPORT_MS);
  await settle();
  assert.equal(ledger.connections(ANN), 1, "not told yet");
  ledger.isDown = false;
  clock.advance(SILENCE_MS);
  await settle();
  assert.equal(ledger.connections(ANN), 0);
  clock.advance(SILENCE_MS);
  await settle();
  assert.equal(clock.pending, 0);
});

Deno.test("[LM1] SharedUse: where the ledger is away each worker counts for itself; alone it asks nobody", async () => {
  const { clock, ledger, log, a } = startWorkers();
  ledger.isDown = true;
  for (let n = 0; n < 20; n++) assert.ok(a.limiter.take([ANN]).allowed);
  clock.advance(REPORT_MS);
  await settle();
  assert.deepEqual(log.events, ["use_not_reported"]);
  assert.ok(a.limiter.take([ANN]).allowed, "what came back in the meantime");
  await assert.rejects(a.use.connect(ANN, 9), { code: "store_unavailable" });
  const alone = startWorkers({ isShared: false });
  alone.a.limiter.take([ANN]);
  const slots = await Promise.all(Array.from({ length: 4 }, () => alone.a.use.connect(ANN, 3)));
  assert.deepEqual(slots.map((slot) => slot !== undefined), [true, true, true, false]);
  assert.deepEqual([alone.clock.pending, alone.ledger.reports.length], [0, 0]);
});
