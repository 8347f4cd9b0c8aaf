/** The table `agent_usage` on a real PostgreSQL: concurrency, retention, and the queries of docs/USAGE.md. */

import assert from "node:assert/strict";
import * as fc from "fast-check";
import type { PostgresStoreOptions } from "../../supabase/functions/_shared/platform/postgres_store.ts";
import { createOpenRouter } from "../../supabase/functions/_shared/openrouter/open_router.ts";
import { systemClock } from "../../supabase/functions/_shared/platform/system.ts";
import type { AttemptLedger, AttemptRow, UsageAnswer } from "../../supabase/functions/_shared/ports/usage.ts";
import { startAgent } from "../support/agent_harness.ts";
import { CountingProvider } from "../support/counting_provider.ts";
import { ManualClock } from "../support/manual_clock.ts";
import { eventually } from "../support/local_stack.ts";
import { startPostgresStore, type StoreServer } from "../support/store_server.ts";
import { advanceDatabase, openStore } from "../support/stores_under_test.ts";

const DAY_MS = 86_400_000;
const BUDGET = 1000;

let server: StoreServer;
Deno.test.beforeAll(async () => {
  server = await startPostgresStore("15");
});
Deno.test.afterAll(async () => await server[Symbol.asyncDispose]());

function ledger(tokens = BUDGET, options: Partial<PostgresStoreOptions> = {}): AttemptLedger {
  return openStore(server, { budget: { tokens, cost: 0 }, ...options }).usage;
}

function open(fields: Partial<AttemptRow> = {}): AttemptRow {
  const userId = crypto.randomUUID();
  return {
    id: crypto.randomUUID(),
    sessionId: crypto.randomUUID(),
    turnId: crypto.randomUUID(),
    userId,
    quotaKeys: [`user:${userId}`],
    model: "test/model",
    generationId: undefined,
    promptTokens: 10,
    completionTokens: 0,
    reasoningTokens: 0,
    cost: undefined,
    estimated: true,
    outcome: "open",
    begunAt: Date.now(),
    endedAt: undefined,
    ...fields,
  };
}

function ended(row: AttemptRow, fields: Partial<AttemptRow> = {}): AttemptRow {
  return { ...row, outcome: "completed", endedAt: Date.now(), ...fields };
}

const NOTHING = { rows: [], unsent: [], corrections: [], reservations: [] } as const;

async function rowsOf(sessionId: string): Promise<Record<string, unknown>[]> {
  return await server.sql(
    `select * from public.agent_usage where session_id = '${sessionId}' order by created_at, attempt`,
  );
}

Deno.test("[US3] workers that reserve at the same moment never grant more than the budget and one prompt", async () => {
  const workers = Array.from({ length: 6 }, () => ledger());
  const user = open();
  const asked = workers.flatMap((worker) =>
    Array.from({ length: 5 }, (_, n) => {
      const row = { ...user, id: crypto.randomUUID(), turnId: crypto.randomUUID(), promptTokens: 20 + n };
      return { worker, row };
    })
  );
  // Each worker makes one call at a time.
  const granted = await Promise.all(workers.map(async (worker) => {
    const tokens: number[] = [];
    for (const { row } of asked.filter((one) => one.worker === worker)) {
      const { granted } = await worker.account({ ...NOTHING, reservations: [{ row, maxTokens: 150 }] });
      const most = granted.get(row.id);
      if (most !== undefined) tokens.push(most + row.promptTokens);
    }
    return tokens;
  }));
  const sum = granted.flat().reduce((total, tokens) => total + tokens, 0);
  assert.ok(sum >= BUDGET && sum <= BUDGET + 24, `${sum}`);
});

Deno.test("[US3] reservations, ends, kills and corrections of two workers in any order: the sum of rows bounds what was spent", async () => {
  const step = fc.record({
    do: fc.constantFrom("ask", "ask", "ask", "end", "cancel", "unsent", "kill", "correct"),
    worker: fc.nat(1),
    which: fc.nat(20),
    tokens: fc.integer({ min: 0, max: 400 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 25 }), async (steps) => {
      const workers = [ledger(), ledger()];
      const user = open();
      /** By the provider's count: the most that each request has used or may still use. */
      const spent = new Map<string, number>();
      let running: { row: AttemptRow; most: number }[] = [];
      const closed: { row: AttemptRow; used: number }[] = [];
      let largestPrompt = 0;
      for (const { do: what, worker: index, which, tokens } of steps) {
        const worker = workers[index] ?? assert.fail();
        const one = running[which % Math.max(1, running.length)];
        if (what === "ask") {
          const promptTokens = 1 + tokens % 90;
          const row = { ...user, id: crypto.randomUUID(), turnId: crypto.randomUUID(), promptTokens };
          const { granted } = await worker.account({
            ...NOTHING,
            reservations: [{ row, maxTokens: tokens + 1 }],
          });
          const most = granted.get(row.id);
          if (most === undefined) continue;
          largestPrompt = Math.max(largestPrompt, promptTokens);
          running.push({ row, most });
          spent.set(row.id, promptTokens + most);
        } else if (what === "correct") {
          const known = closed[which % Math.max(1, closed.length)];
          if (known === undefined) continue;
          const { row: { id, promptTokens }, used } = known;
          const usage = { prompt_tokens: promptTokens, completion_tokens: used, total_tokens: 0 };
          await worker.account({ ...NOTHING, corrections: [{ id, usage }] });
        } else if (one !== undefined) {
          running = running.filter((other) => other !== one);
          const { row, most } = one;
          // A killed worker's request uses all that it may: its reservation stays.
          if (what === "kill") continue;
          if (what === "unsent") {
            await worker.account({ ...NOTHING, unsent: [row.id] });
            spent.delete(row.id);
            continue;
          }
          const used = Math.min(tokens, most);
          const outcome = what === "end" ? "completed" : "cancelled";
          await worker.account({ ...NOTHING, rows: [ended(row, { outcome, completionTokens: used })] });
          spent.set(row.id, row.promptTokens + used);
          closed.push({ row, used });
        }
        const total = [...spent.values()].reduce((sum, n) => sum + n, 0);
        assert.ok(total <= BUDGET + largestPrompt, `${total}`);
      }
      const [row] = await server.sql(
        `select coalesce(sum(prompt_tokens + completion_tokens + reserved_tokens), 0)::int as n
         from public.agent_usage where user_id = '${user.userId}'`,
      );
      assert.equal(row?.n, [...spent.values()].reduce((sum, n) => sum + n, 0), "the rows are the truth");
    }),
    { numRuns: 15 },
  );
});

Deno.test("[US1] a call that is repeated is done once, and one that comes after a later one not at all", async () => {
  const row = open();
  const asked = JSON.stringify([{
    id: row.id,
    session_id: row.sessionId,
    turn_id: "t",
    user_id: row.userId,
    model: "m",
    prompt_tokens: 10,
    max_tokens: 50,
  }]);
  const call = async (
    number: number,
    unsent: string,
    asked: string,
  ): Promise<UsageAnswer | { error: string }> => {
    const [answer] = await server.sql(
      `select public.agent_account_usage('w-${row.id}', ${number}, '[]', '${unsent}', '[]', '${asked}', 100, 0) as a`,
    );
    return answer?.a as UsageAnswer;
  };
  const first = await call(1, "[]", asked);
  assert.deepEqual(Object(first).granted, { [row.id]: 50 });
  assert.deepEqual(await call(1, "[]", asked), first);
  await call(3, JSON.stringify([row.id]), "[]");
  assert.deepEqual(await call(2, "[]", asked), { error: "stale" });
  assert.deepEqual(await rowsOf(row.sessionId), []);
});

Deno.test("[US3] tokens that a worker of the version before has counted today count as well", async () => {
  const row = open();
  await server.sql(`select public.agent_settle_use('old-${row.id}', 1,
    '[{"key":"user:${row.userId}","frames":1,"tokens":${BUDGET - 30},"connections":0}]', 60, 20)`);
  const { granted } = await ledger().account({ ...NOTHING, reservations: [{ row, maxTokens: 100 }] });
  assert.equal(granted.get(row.id), 30);
});

Deno.test("[US1] [US5] attempts of a turn are numbered, and rows stay when their session is deleted", async () => {
  const store = openStore(server);
  const [first, other] = [open(), open()];
  await store.create({
    sessionId: first.sessionId,
    owner: { kind: "user", userId: first.userId ?? "" },
    createdAt: 1,
  });
  const again = { ...first, id: crypto.randomUUID(), begunAt: first.begunAt + 5 };
  await store.usage.account({
    ...NOTHING,
    rows: [ended(first, { outcome: "failed", reasoningTokens: 3, completionTokens: 5 }), ended(again), other],
  });
  await store.remove(first.sessionId);
  const rows = await rowsOf(first.sessionId);
  assert.deepEqual(
    rows.map(({ attempt, outcome, reasoning_tokens }) => [attempt, outcome, Number(reasoning_tokens)]),
    [
      [1, "failed", 3],
      [2, "completed", 0],
    ],
  );
  assert.deepEqual((await rowsOf(other.sessionId)).map(({ attempt, ended_at }) => [attempt, ended_at]), [[
    1,
    null,
  ]]);
});

Deno.test("[US1] what a worker tells of a turn that it took over is kept only if nothing is known of the turn", async () => {
  // Rows of one call stand at one moment, though time goes on while they are written.
  let time = Date.now();
  const { usage } = openStore(server, { clock: { ...systemClock(), now: () => time++ } });
  const told = ended(open(), { outcome: "lost", completionTokens: 4, inferred: true });
  const own = { ...told, id: crypto.randomUUID(), outcome: "completed", inferred: undefined } as const;
  const { inferred: _, ...completed } = own;
  await usage.account({ ...NOTHING, rows: [told, completed] });
  await usage.account({ ...NOTHING, rows: [{ ...told, id: crypto.randomUUID() }] });
  const rows = await rowsOf(told.sessionId);
  assert.deepEqual(rows.map(({ attempt, outcome }) => [attempt, outcome]), [[1, "lost"], [2, "completed"]]);
  // The other worker was only cut off, and knows better.
  const theirs = {
    ...completed,
    id: crypto.randomUUID(),
    outcome: "lost",
    begunAt: told.begunAt - 5000,
  } as const;
  await usage.account({ ...NOTHING, rows: [theirs] });
  assert.deepEqual((await rowsOf(told.sessionId)).map(({ id }) => id), [theirs.id, completed.id]);
});

Deno.test("[DU6] [US5] rows go with the retention; an address after two days; a killed worker's row is closed after one", async () => {
  await server.sql("truncate public.agent_usage");
  const address = "address:203.0.113.9";
  const sessionId = crypto.randomUUID();
  const killed = open({ userId: undefined, sessionId, quotaKeys: [`session:${sessionId}`, address] });
  const store = openStore(server, { budget: { tokens: BUDGET, cost: 0 } });
  await store.usage.account({ ...NOTHING, reservations: [{ row: killed, maxTokens: 100 }] });
  const state = async (): Promise<unknown[]> =>
    (await rowsOf(sessionId)).map(({ quota_key, outcome, reserved_tokens }) => [
      quota_key,
      outcome,
      Number(reserved_tokens),
    ]);
  await store.prune(30);
  assert.deepEqual(await state(), [[address, "open", 100]]);
  await advanceDatabase(server, DAY_MS + 60_000);
  await store.prune(30);
  assert.deepEqual(await state(), [[address, "lost", 0]]);
  await advanceDatabase(server, DAY_MS);
  await store.prune(30);
  assert.deepEqual(await state(), [[null, "lost", 0]]);
  await advanceDatabase(server, 27 * DAY_MS);
  await store.prune(0);
  await store.prune(30);
  assert.equal((await state()).length, 1);
  await advanceDatabase(server, 2 * DAY_MS);
  await store.prune(30);
  assert.deepEqual(await state(), []);

  await server.sql(`insert into public.agent_usage
    (id, session_id, turn_id, attempt, model, prompt_tokens, outcome, created_at)
    select gen_random_uuid(), '${sessionId}', 't', 1, 'm', 1, 'failed', now() - interval '40 days'
    from generate_series(1, 700)`);
  const [step] = await server.sql("select public.agent_upkeep(30, 300) as answer");
  const { rows, more } = Object(step?.answer);
  assert.deepEqual([rows, more, (await rowsOf(sessionId)).length], [300, true, 400]);
});

Deno.test("[US1] an agent over a provider: every request is a row, with what the provider counted for it", async () => {
  const clock = new ManualClock(Date.now());
  const provider = new CountingProvider();
  // The clock is advanced by hours while the database works.
  const patience = { attemptMs: 600_000, commitWithinMs: 1_200_000 };
  const store = openStore(server, { clock, budget: { tokens: BUDGET, cost: 0 }, ...patience });
  const { connect, verifier } = startAgent({
    clock,
    tokensPerDay: BUDGET,
    attempts: store.usage,
    settings: { maxTokens: 100 },
    provider: createOpenRouter({
      baseUrl: "https://provider.test/api/v1",
      maxRetries: 2,
      firstTokenTimeoutMs: 0,
      stallTimeoutMs: 0,
      clock,
      random: () => 0,
      log: { write: () => {} },
      fetch: provider.fetch,
    }),
  });
  const userId = crypto.randomUUID();
  verifier.admit("token", userId, Infinity);
  const client = await connect("jwt=token", {});
  const answer = (n: number): Promise<CountingProvider["answers"][number]> =>
    eventually("a request", () => {
      clock.advance(1000);
      return provider.answers[n];
    });
  const frames = (n: number): Promise<true> =>
    eventually("an end", () => {
      clock.advance(10);
      return client.frames.filter(({ seq, type }) => seq !== undefined && type !== "query").length >= n
        ? true
        : undefined;
    });

  provider.refusals.push(500);
  client.ask("one", { id: "1" });
  const first = await answer(0);
  first.say(7);
  first.finish({ reports: true });
  await frames(2);
  client.ask("two", { id: "2" });
  const second = await answer(1);
  second.say(3);
  await eventually("text", () => second.tokens === 3 || undefined);
  client.command("cancel");
  await frames(4);
  client.ask("three", { id: "3" });
  (await answer(2)).say(5);
  provider.answers[2]?.cut();
  await frames(6);

  const rows = await eventually("the rows", async () => {
    const rows = await rowsOf(client.sessionId);
    return rows.every(({ outcome }) => outcome !== "open") && rows.length === 4 ? rows : undefined;
  });
  assert.deepEqual(
    rows.map(({ attempt, outcome, estimated, user_id }) => [attempt, outcome, estimated, user_id]),
    [
      [1, "failed", true, userId],
      [2, "completed", false, userId],
      [1, "cancelled", true, userId],
      [1, "failed", true, userId],
    ],
  );
  const sum = rows.reduce(
    (total, row) => total + Number(row.prompt_tokens) + Number(row.completion_tokens),
    0,
  );
  assert.equal(sum, provider.total);
});

Deno.test("[US5] docs/USAGE.md: the three queries, as they stand on the page", async () => {
  await server.sql("truncate public.agent_usage");
  const page = await Deno.readTextFile(new URL("../../docs/USAGE.md", import.meta.url));
  const queries = [...page.matchAll(/```sql\n([\s\S]*?)```/g)].map(([, text = ""]) => text);
  assert.equal(queries.length, 3);
  const usage = (fields: Partial<AttemptRow>): AttemptRow =>
    ended({ ...open(), userId: "ann" }, { promptTokens: 10, completionTokens: 10, ...fields });
  await openStore(server).usage.account({
    ...NOTHING,
    rows: [
      usage({ cost: 0.5, estimated: false, model: "a/one", reasoningTokens: 4 }),
      usage({ cost: 0.25, estimated: true, outcome: "cancelled", model: "a/one" }),
      usage({ cost: 0.25, estimated: false, userId: "bob", model: "b/two" }),
      usage({ userId: undefined, model: "c/free", outcome: "failed", estimated: true }),
      usage({ cost: 9, model: "long/ago" }),
    ],
  });
  await server.sql(
    "update public.agent_usage set created_at = now() - interval '31 days' where model = 'long/ago'",
  );
  const run = async (index: number): Promise<Record<string, unknown>[]> =>
    (await server.sql(queries[index] ?? "")).map((row) =>
      Object.fromEntries(
        Object.entries(row).map((
          [name, value],
        ) => [name, isNaN(Number(value)) || value === null ? value : Number(value)]),
      )
    );
  assert.deepEqual(await run(0), [
    { user_id: "ann", requests: 2, tokens: 40, cost: 0.75, estimated_cost: 0.25 },
    { user_id: "bob", requests: 1, tokens: 20, cost: 0.25, estimated_cost: null },
    { user_id: "anonymous", requests: 1, tokens: 20, cost: null, estimated_cost: null },
  ]);
  const byModel = (await run(1)).map(({ day, ...row }) => {
    assert.equal(new Date(String(day)).getTime() % DAY_MS, 0);
    return row;
  });
  const tokens = { prompt_tokens: 10, completion_tokens: 10, reasoning_tokens: 0 };
  assert.deepEqual(byModel, [
    {
      model: "a/one",
      requests: 2,
      prompt_tokens: 20,
      completion_tokens: 20,
      reasoning_tokens: 4,
      cost: 0.75,
    },
    { model: "b/two", requests: 1, ...tokens, cost: 0.25 },
    { model: "c/free", requests: 1, ...tokens, cost: null },
  ]);
  assert.deepEqual(await run(2), [
    { outcome: "cancelled", requests: 1, tokens: 20, cost: 0.25, percent_of_cost: 25 },
    { outcome: "failed", requests: 1, tokens: 20, cost: null, percent_of_cost: null },
    { outcome: "completed", requests: 2, tokens: 40, cost: 0.75, percent_of_cost: 75 },
  ]);
});
