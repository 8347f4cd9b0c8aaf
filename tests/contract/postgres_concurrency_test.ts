/** Many concurrent connections on a real PostgreSQL, and lost answers. */

import assert from "node:assert/strict";
import fc from "fast-check";
import postgres from "postgres";
import type { Committed, LogWrite } from "../../supabase/functions/_shared/ports/event_log.ts";
import { systemClock } from "../../supabase/functions/_shared/platform/system.ts";
import { isTerminal, keyOf, type NewLogEvent } from "../../supabase/functions/_shared/protocol/log_event.ts";
import { notification, query, response } from "../support/log_events.ts";
import { startPostgresStore, type StoreServer } from "../support/store_server.ts";
import { LEASE_MS, openStore } from "../support/stores_under_test.ts";

let server: StoreServer;
Deno.test.beforeAll(async () => {
  server = await startPostgresStore();
});
Deno.test.afterAll(async () => await server[Symbol.asyncDispose]());

const OWNER = { kind: "user", userId: "ann" } as const;
const CONNECTIONS = 16;

interface Answer {
  error?: string;
  last_seq: number;
  events: (number | { seq: number })[];
  lease: { epoch: number; holder: string };
}

/** Calls the SQL function on its own connections, without a worker's batching. */
async function withConnections(
  work: (commit: (worker: string, writes: object[]) => Promise<Answer[]>) => Promise<void>,
): Promise<void> {
  const sql = postgres(server.databaseUrl ?? "", { max: CONNECTIONS, onnotice: () => {} });
  let number = 0;
  try {
    await work(async (worker, writes) => {
      const [row] = await sql`
        select public.agent_commit(${worker}, ${++number}, 5000, ${sql.json(writes as never)}) as answer`;
      return row?.answer;
    });
  } finally {
    await sql.end();
  }
}

async function openSessions(count: number): Promise<string[]> {
  const ids = Array.from({ length: count }, () => crypto.randomUUID());
  const store = openStore(server);
  await Promise.all(ids.map((sessionId) => store.create({ sessionId, owner: OWNER, createdAt: 1 })));
  return ids;
}

Deno.test("[SQ1] batches of many workers over the same sessions in any order: no deadlock, no hole", async () => {
  const sessions = await openSessions(5);
  await withConnections(async (commit) => {
    const batches = Array.from({ length: 160 }, (_, batch) => {
      const order = batch % 2 === 0 ? sessions : sessions.toReversed();
      return commit(
        `w${batch % 40}-${batch}`,
        order.map((session) => ({
          session,
          events: [notification(`${batch}a`), notification(`${batch}b`)],
        })),
      );
    });
    const answers = (await Promise.all(batches)).flat();
    assert.ok(answers.every(({ error }) => error === undefined));
  });
  const store = openStore(server);
  for (const sessionId of sessions) {
    const { events } = await store.read(sessionId, { afterSeq: 0, limit: 1000 });
    assert.deepEqual(events.map(({ seq }) => seq), Array.from({ length: 320 }, (_, index) => index + 1));
    // The events of one write are contiguous.
    const ids = events.map((event) => event.kind === "notification" ? event.notificationId : "");
    for (let n = 0; n < 320; n += 2) assert.equal(ids[n + 1], ids[n]?.replace("a", "b"));
    assert.ok(events.every(({ at }, index) => at >= (events[index - 1]?.at ?? 0)));
  }
});

Deno.test("[TO1] of many workers that claim at once exactly one has the lease", async () => {
  const [session = ""] = await openSessions(1);
  await withConnections(async (commit) => {
    for (let epoch = 1; epoch <= 5; epoch++) {
      const claims = await Promise.all(
        Array.from({ length: CONNECTIONS }, (_, n) => commit(`${epoch}-${n}`, [{ session, lease: "claim" }])),
      );
      const holders = claims.flatMap(([answer], n) => answer?.lease.holder === "self" ? [n] : []);
      assert.equal(holders.length, 1);
      assert.ok(claims.flat().every(({ lease }) => lease.epoch === epoch));
      const worker = `${epoch}-${holders[0]}`;
      const stale = await Promise.all(
        Array.from({ length: CONNECTIONS }, (_, n) => commit(`${epoch}-${n}`, [{ session, epoch }])),
      );
      assert.deepEqual(stale.flatMap(([answer], n) => answer?.error === undefined ? [n] : []), holders);
      assert.ok(stale.flat().every(({ error }) => error === undefined || error === "lease_lost"));
      await commit(worker, [{ session, epoch, lease: "release" }]);
    }
  });
});

Deno.test("[DU2] of many that send the same event at once one appends it, and all are told of that one", async () => {
  const [session = ""] = await openSessions(1);
  await withConnections(async (commit) => {
    const sent = await Promise.all(
      Array.from(
        { length: 60 },
        (_, n) => commit(`d${n}`, [{ session, events: [query(`${n % 3}`, `${n}`)] }]),
      ),
    );
    const bySeq = Map.groupBy(
      sent.flat(),
      ({ events: [event] }) => typeof event === "number" ? event : event?.seq,
    );
    assert.deepEqual([...bySeq.keys()].sort(), [1, 2, 3]);
    for (const answers of bySeq.values()) {
      assert.equal(answers.length, 20);
      assert.equal(answers.filter(({ events: [event] }) => typeof event === "number").length, 1);
    }
  });
});

Deno.test("[DU5] a numbered call is done once, however often it comes, and not at all after a later one", async () => {
  const [session = ""] = await openSessions(1);
  const sql = postgres(server.databaseUrl ?? "", { max: CONNECTIONS, onnotice: () => {} });
  const call = async (number: number, write: object): Promise<Answer[]> => {
    const writes = sql.json([{ session, ...write }] as never);
    return (await sql`select public.agent_commit('one', ${number}, 5000, ${writes}) as answer`)[0]?.answer;
  };
  try {
    const claim = { lease: "claim", events: [query("1")], started: "t-1" };
    const first = await Promise.all(Array.from({ length: CONNECTIONS }, () => call(1, claim)));
    for (const answer of first) assert.deepEqual(answer, first[0]);
    const [, starts] = [
      await call(2, { epoch: 1, lease: "release" }),
      await call(2, { epoch: 1, lease: "release" }),
    ];
    assert.equal(starts[0]?.error, undefined);
    assert.deepEqual(await call(1, claim), { error: "stale" });
    const store = openStore(server);
    const found = await store.find(session, [OWNER], { tail: 5 });
    assert.deepEqual([found?.openTurns[0]?.starts, found?.tail.lastSeq, found?.tail.lease.epoch], [1, 1, 1]);
  } finally {
    await sql.end();
  }
});

/** What one worker does next, or how many of the following answers are lost. */
type Step =
  | { do: "ask" | "end" | "claim" | "release" | "note" | "checkpoint"; worker: 0 | 1; id: number }
  | { do: "trouble"; lost: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constantFrom("ask" as const, "end", "claim", "release", "note", "checkpoint"),
      worker: fc.constantFrom(0 as const, 1),
      id: fc.integer({ min: 0, max: 4 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("trouble" as const), lost: fc.integer({ min: 1, max: 2 }) }),
  },
);

/** The expected state of a log with leases. */
class Model {
  readonly log: NewLogEvent[] = [];
  epoch = 0;
  runner: number | undefined;
  readonly starts = new Map<string, number>();
  readonly partials = new Map<string, string>();

  append(event: NewLogEvent): void {
    if (this.log.some((known) => keyOf(known) === keyOf(event))) return;
    this.log.push(event);
    if (event.kind === "query") this.starts.set(event.turnId, 0);
    if (isTerminal(event)) this.starts.delete(event.turnId);
  }
}

Deno.test("[DU5] two workers whose answers get lost write the same log as two whose do not", async () => {
  let toLose = 0;
  // The server has done the work, but its answer is lost.
  const real = globalThis.fetch;
  globalThis.fetch = async (input, init) => {
    const response = await real(input, init);
    if (toLose === 0 || !String(input).includes("agent_commit")) return response;
    toLose--;
    await response.text();
    throw new TypeError("connection reset");
  };
  // A clock whose retries run without a delay.
  const fast = {
    now: () => Date.now(),
    after: (ms: number, task: () => void) => {
      const timer = setTimeout(task, ms > 2000 ? ms : 0);
      return () => clearTimeout(timer);
    },
  };
  try {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 25 }), async (steps) => {
        const stores = [openStore(server, { clock: fast }), openStore(server, { clock: fast })];
        const [sessionId = ""] = await openSessions(1);
        const model = new Model();
        const epochs = [0, 0];
        const pieces = new Map<string, number>();
        const waiting: Promise<unknown>[] = [];
        const commit = async (worker: number, write: LogWrite): Promise<Committed | undefined> => {
          try {
            return await stores[worker]?.commit(sessionId, write);
          } catch (error) {
            assert.equal((error as { code?: string }).code, "lease_lost");
            return undefined;
          }
        };
        for (const now of steps) {
          if (now.do === "trouble") {
            toLose = now.lost;
            continue;
          }
          const { worker, id } = now;
          const turnId = `t-${id}`;
          const isHolder = model.runner === worker && model.epoch === epochs[worker];
          switch (now.do) {
            case "note":
              // Two concurrent writes: the second waits for the first and its retries.
              waiting.push(commit(worker, { events: [notification(`${id}`)] }));
              await commit(worker, { events: [notification(`${id}b`)] });
              model.append(notification(`${id}`));
              model.append(notification(`${id}b`));
              break;
            case "ask":
              await commit(worker, { events: [query(`${id}`)] });
              model.append(query(`${id}`));
              break;
            case "claim": {
              const answer = await commit(worker, { lease: "claim", startedTurnId: turnId });
              const before = model.epoch;
              if (model.runner === undefined) {
                model.runner = worker;
                model.epoch++;
              }
              assert.equal(answer?.lease.epoch, model.epoch);
              assert.equal(answer?.lease.holder, model.runner === worker ? "self" : "other");
              assert.equal(answer?.openTurns !== undefined, model.runner === worker);
              if (model.runner !== worker) break;
              epochs[worker] = model.epoch;
              const starts = model.starts.get(turnId);
              if (starts !== undefined) model.starts.set(turnId, starts + 1);
              pieces.set(turnId, 0);
              assert.ok(model.epoch >= before);
              break;
            }
            case "release": {
              const answer = await commit(worker, { lease: "release", epoch: epochs[worker] ?? 0 });
              assert.equal(answer !== undefined, isHolder);
              if (isHolder) model.runner = undefined;
              break;
            }
            case "end": {
              const answer = await commit(worker, {
                events: [response(`${id}`)],
                epoch: epochs[worker] ?? 0,
              });
              assert.equal(answer !== undefined, isHolder);
              if (isHolder) model.append(response(`${id}`));
              break;
            }
            case "checkpoint": {
              const number = (pieces.get(turnId) ?? 0) + 1;
              const checkpoint = { turnId, number, text: `${worker}${number}` };
              const answer = await commit(worker, { epoch: epochs[worker] ?? 0, checkpoint });
              assert.equal(answer !== undefined, isHolder);
              if (!isHolder || !model.starts.has(turnId)) break;
              pieces.set(turnId, number);
              model.partials.set(
                turnId,
                (number === 1 ? "" : model.partials.get(turnId) ?? "") + checkpoint.text,
              );
            }
          }
        }
        await Promise.all(waiting);
        toLose = 0;
        const found = await stores[0]?.find(sessionId, [OWNER], { tail: 200 });
        const seen = found?.tail.events.map(({ seq, at: _, ...event }) => ({ seq, event }));
        assert.deepEqual(seen, model.log.map((event, index) => ({ seq: index + 1, event })));
        assert.equal(found?.tail.lease.epoch, model.epoch);
        const open = found?.openTurns.map((
          { query: { turnId }, starts, partial },
        ) => [turnId, starts, partial]);
        const expected = [...model.starts].map((
          [turnId, starts],
        ) => [turnId, starts, model.partials.get(turnId) ?? ""]);
        assert.deepEqual(open, expected);
      }),
      { numRuns: 60 },
    );
  } finally {
    globalThis.fetch = real;
  }
});

Deno.test("[DU5] [TO1] a lease is as long as it was when it was given, however late the answer comes", async () => {
  const [sessionId = ""] = await openSessions(1);
  let now = 1_000_000;
  const clock = { now: () => now, after: systemClock().after };
  const real = globalThis.fetch;
  let isFirst = true;
  globalThis.fetch = async (input, init) => {
    const response = await real(input, init);
    if (!isFirst) return response;
    isFirst = false;
    await response.text();
    now += 3000;
    throw new TypeError("connection reset");
  };
  try {
    const { lease } = await openStore(server, { clock }).commit(sessionId, { lease: "claim" });
    assert.deepEqual([lease.holder, lease.epoch], ["self", 1]);
    assert.ok(lease.leftMs > 0 && lease.leftMs <= LEASE_MS - 3000, `${lease.leftMs}`);
  } finally {
    globalThis.fetch = real;
  }
});
