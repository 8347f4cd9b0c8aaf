import assert from "node:assert/strict";
import { AgentError } from "../../../supabase/functions/_shared/errors.ts";
import type {
  AttemptLedger,
  AttemptRow,
  UsageAnswer,
  UsageChange,
} from "../../../supabase/functions/_shared/ports/usage.ts";
import {
  FLUSH_MS,
  MAX_WAITING_ROWS,
  UsageQueue,
} from "../../../supabase/functions/_shared/usage/usage_queue.ts";
import { ManualClock, settle } from "../../support/manual_clock.ts";
import { RecordingLog } from "../../support/recording_log.ts";

/** Keeps what it is told, and grants what is asked. */
class Ledger implements AttemptLedger {
  readonly changes: UsageChange[] = [];
  fault: AgentError | undefined;
  gate: Promise<void> = Promise.resolve();

  async account(change: UsageChange): Promise<UsageAnswer> {
    this.changes.push(change);
    const { fault } = this;
    await this.gate;
    if (fault !== undefined) throw fault;
    const granted = new Map(change.reservations.map(({ row, maxTokens }) => [row.id, maxTokens]));
    return { granted, usedUp: new Set(), dayLeftMs: 1000, lost: [] };
  }

  /** The ids of the rows in each call. */
  get rows(): string[][] {
    return this.changes.map(({ rows }) => rows.map(({ id }) => id));
  }
}

const AWAY = new AgentError("store_unavailable", "away", { retryable: true });

function startQueue(): {
  clock: ManualClock;
  ledger: Ledger;
  log: RecordingLog;
  queue: UsageQueue;
  held: () => number;
} {
  const clock = new ManualClock();
  const ledger = new Ledger();
  const log = new RecordingLog();
  let held = 0;
  const queue = new UsageQueue({
    clock,
    log,
    lifetime: {
      hold: (work): void => {
        held++;
        work.finally(() => held--);
      },
    },
    ledger: () => ledger,
    onAnswer: () => {},
  });
  return { clock, ledger, log, queue, held: () => held };
}

function row(id: string, fields: Partial<AttemptRow> = {}): AttemptRow {
  return {
    id,
    sessionId: "s",
    turnId: `t-${id}`,
    userId: "ann",
    quotaKeys: ["user:ann"],
    model: "m",
    generationId: undefined,
    promptTokens: 1,
    completionTokens: 0,
    reasoningTokens: 0,
    cost: undefined,
    estimated: true,
    outcome: "open",
    begunAt: 0,
    endedAt: undefined,
    ...fields,
  };
}

Deno.test("[US1] UsageQueue: many requests, one call, and the newest state of each", async () => {
  const { clock, ledger, queue, held } = startQueue();
  for (let n = 0; n < 100; n++) {
    queue.save(row(`${n}`));
    queue.save(row(`${n}`, { outcome: "completed" }));
  }
  await settle();
  assert.deepEqual([ledger.changes.length, held()], [0, 1], "the worker is held for what waits");
  clock.advance(FLUSH_MS);
  await settle();
  assert.equal(ledger.changes.length, 1);
  assert.ok(ledger.changes[0]?.rows.every(({ outcome }) => outcome === "completed"));
  assert.equal(ledger.changes[0]?.rows.length, 100);
  assert.deepEqual([clock.pending, held()], [0, 0]);
});

Deno.test("[US3] UsageQueue: a reservation goes at once, after what it depends on", async () => {
  const { ledger, queue } = startQueue();
  queue.save(row("before", { outcome: "completed" }));
  const granted = await queue.reserve({ row: row("next"), maxTokens: 7 });
  assert.equal(granted, 7);
  assert.deepEqual(ledger.rows, [["before"]]);
  const gate = Promise.withResolvers<void>();
  ledger.gate = gate.promise;
  const all = [1, 2, 3].map((maxTokens) => queue.reserve({ row: row(`${maxTokens}`), maxTokens }));
  await settle();
  const late = queue.reserve({ row: row("late"), maxTokens: 9 });
  await settle();
  assert.equal(ledger.changes.length, 2, "one call at a time");
  gate.resolve();
  assert.deepEqual(await Promise.all([...all, late]), [1, 2, 3, 9]);
  assert.deepEqual(ledger.changes.map(({ reservations }) => reservations.length), [1, 3, 1]);
});

Deno.test("[US1] [US3] UsageQueue: while the ledger is away rows wait, and nothing may be sent", async () => {
  const { clock, ledger, log, queue, held } = startQueue();
  ledger.fault = AWAY;
  queue.save(row("a"));
  const reserved = queue.reserve({ row: row("b"), maxTokens: 1 });
  await assert.rejects(reserved, { code: "store_unavailable", retryable: true });
  await settle();
  assert.deepEqual([log.events, held()], [["usage_not_recorded"], 0]);
  queue.save(row("a", { outcome: "completed" }));
  ledger.fault = undefined;
  clock.advance(10_000);
  await settle();
  const last = ledger.changes.at(-1);
  assert.deepEqual(last?.rows.map(({ id, outcome }) => [id, outcome]), [["a", "completed"]]);
  assert.deepEqual(last?.unsent, ["b"], "it may have been booked all the same");
  assert.equal(clock.pending, 0);
});

Deno.test("[US1] UsageQueue: what does not fit, or is refused for good, is lost, and the log says how much", async () => {
  const { clock, ledger, log, queue } = startQueue();
  ledger.fault = AWAY;
  for (let n = 0; n < MAX_WAITING_ROWS + 3; n++) queue.save(row(`${n}`));
  const lost = (): number =>
    log.entries.filter(({ event }) => event === "usage_rows_lost").reduce(
      (sum, entry) => sum + Number(entry.rows),
      0,
    );
  ledger.fault = undefined;
  for (let n = 0; n < 30; n++) {
    clock.advance(FLUSH_MS);
    await settle();
  }
  assert.equal(lost(), 3);
  assert.equal(log.events.length, 1, "in one line");
  const sent = ledger.rows.flat();
  assert.deepEqual([sent.length, sent[0]], [MAX_WAITING_ROWS, "3"]);
  ledger.fault = new AgentError("internal", "no");
  queue.save(row("bad"));
  clock.advance(FLUSH_MS);
  await settle();
  assert.equal(lost(), 4);
  assert.equal(clock.pending, 0);
});

Deno.test("[US1] UsageQueue: a worker that ends sends its rows first, for two seconds at most", async () => {
  const { clock, ledger, log, queue } = startQueue();
  queue.save(row("a"));
  await queue.close();
  assert.deepEqual(ledger.rows, [["a"]]);
  ledger.gate = new Promise(() => {});
  queue.save(row("b"));
  const closed = queue.close();
  await settle();
  clock.advance(2000);
  await closed;
  assert.deepEqual(log.events, []);
  const down = startQueue();
  down.ledger.fault = AWAY;
  down.queue.save(row("c"));
  await down.queue.close();
  assert.deepEqual(down.log.events, ["usage_not_recorded", "usage_rows_lost"]);
  assert.equal(down.clock.pending, 0);
});

Deno.test("[US2] UsageQueue: a correction never comes before its row", async () => {
  const { clock, ledger, queue } = startQueue();
  for (let n = 0; n < 250; n++) queue.save(row(`${n}`));
  queue.correct({ id: "249", usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 } });
  for (let n = 0; n < 3; n++) {
    clock.advance(FLUSH_MS);
    await settle();
  }
  assert.deepEqual(ledger.changes.map(({ rows, corrections }) => [rows.length, corrections.length]), [
    [200, 0],
    [50, 1],
  ]);
});
