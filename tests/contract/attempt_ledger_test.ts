/** The contract of every AttemptLedger, run on each implementation with two workers. */

import assert from "node:assert/strict";
import type {
  AttemptLedger,
  AttemptRow,
  DailyBudget,
  UsageAnswer,
  UsageChange,
} from "../../supabase/functions/_shared/ports/usage.ts";
import { MemoryLedger } from "../../supabase/functions/_shared/usage/memory_ledger.ts";
import { ManualClock } from "../support/manual_clock.ts";
import { startPostgresStore, type StoreServer } from "../support/store_server.ts";
import { advanceDatabase, openStore } from "../support/stores_under_test.ts";

const DAY_MS = 86_400_000;
const servers: StoreServer[] = [];

Deno.test.beforeAll(async () => {
  servers.push(...await Promise.all([startPostgresStore("15"), startPostgresStore("18")]));
});
Deno.test.afterAll(async () => {
  for (const server of servers) await server[Symbol.asyncDispose]();
});

interface LedgersUnderTest {
  ann: AttemptLedger;
  bob: AttemptLedger;
  now(): number;
  advance(ms: number): Promise<void>;
}

function onServer(index: number, budget: DailyBudget): LedgersUnderTest {
  const server = servers[index];
  assert.ok(server !== undefined);
  const [ann, bob] = [openStore(server, { budget }).usage, openStore(server, { budget }).usage];
  return { ann, bob, now: Date.now, advance: (ms) => advanceDatabase(server, ms) };
}

const IMPLEMENTATIONS: Readonly<Record<string, (budget: DailyBudget) => LedgersUnderTest>> = {
  MemoryLedger(budget): LedgersUnderTest {
    const clock = new ManualClock();
    const ledger = new MemoryLedger({ clock, budget });
    return {
      ann: ledger,
      bob: ledger,
      now: () => clock.now(),
      advance: (ms) => Promise.resolve(clock.advance(ms)),
    };
  },
  "PostgresUsage on PostgreSQL 15": (budget) => onServer(0, budget),
  "PostgresUsage on PostgreSQL 18": (budget) => onServer(1, budget),
};

/** A request of a user that no other test uses. */
function open(now: number, fields: Partial<AttemptRow> = {}): AttemptRow {
  const userId = crypto.randomUUID();
  return {
    id: crypto.randomUUID(),
    sessionId: crypto.randomUUID(),
    turnId: crypto.randomUUID(),
    userId,
    quotaKeys: [`user:${fields.userId ?? userId}`],
    model: `test/${crypto.randomUUID()}`,
    generationId: undefined,
    promptTokens: 10,
    completionTokens: 0,
    reasoningTokens: 0,
    cost: undefined,
    estimated: true,
    outcome: "open",
    begunAt: now,
    endedAt: undefined,
    ...fields,
  };
}

/** Another request like one before. */
function again(row: AttemptRow, fields: Partial<AttemptRow> = {}): AttemptRow {
  return { ...row, id: crypto.randomUUID(), turnId: crypto.randomUUID(), ...fields };
}

function ended(row: AttemptRow, completionTokens: number, fields: Partial<AttemptRow> = {}): AttemptRow {
  return { ...row, completionTokens, outcome: "completed", endedAt: row.begunAt, ...fields };
}

async function account(ledger: AttemptLedger, change: Partial<UsageChange>): Promise<UsageAnswer> {
  return await ledger.account({ rows: [], unsent: [], corrections: [], reservations: [], ...change });
}

/** What is granted to a request that wants `maxTokens`; undefined if it is refused. */
async function ask(
  ledger: AttemptLedger,
  row: AttemptRow,
  maxTokens: number,
  change: Partial<UsageChange> = {},
): Promise<number | undefined> {
  return (await account(ledger, { ...change, reservations: [{ row, maxTokens }] })).granted.get(row.id);
}

for (const [name, start] of Object.entries(IMPLEMENTATIONS)) {
  const test = (
    title: string,
    budget: Partial<DailyBudget>,
    body: (ledgers: LedgersUnderTest) => Promise<void>,
  ): void => Deno.test(title.replace("*", name), () => body(start({ tokens: 0, cost: 0, ...budget })));

  test(
    "[US3] *: a reservation counts for all workers; what it did not use is given back",
    { tokens: 100 },
    async ({ ann, bob, now }) => {
      const first = open(now());
      assert.equal(await ask(ann, first, 60), 60);
      const second = again(first);
      assert.equal(await ask(bob, second, 60), 30, "lowered to what is left: 100 - 70");
      assert.equal(await ask(ann, again(first), 1), undefined);
      const { usedUp } = await account(ann, { rows: [ended(first, 5)] });
      assert.deepEqual([...usedUp], [], "most of it is reserved, not used");
      assert.equal(await ask(ann, again(first), 60), 45);
      assert.equal(await ask(bob, again(first), 60), undefined);
      assert.equal(await ask(bob, open(now()), 60), 60, "another user");
    },
  );

  test("[LM5] *: used up is told with the change that used it, until midnight", { tokens: 100 }, async ({
    ann,
    bob,
    now,
    advance,
  }) => {
    const row = open(now());
    assert.equal(await ask(ann, row, 90), 90);
    const { usedUp, dayLeftMs } = await account(ann, { rows: [ended(row, 90)] });
    assert.deepEqual([...usedUp], row.quotaKeys);
    assert.ok(Math.abs(dayLeftMs - (DAY_MS - now() % DAY_MS)) < 5000, `${dayLeftMs}`);
    const next = again(row);
    const refused = await account(bob, { reservations: [{ row: next, maxTokens: 5 }] });
    assert.deepEqual([refused.granted.size, ...refused.usedUp], [0, ...row.quotaKeys]);
    await advance(DAY_MS);
    assert.equal(await ask(bob, again(row, { begunAt: now() }), 500), 100);
  });

  test(
    "[US3] *: a request that was not sent gives its reservation back",
    { tokens: 100 },
    async ({ ann, now }) => {
      const row = open(now());
      assert.equal(await ask(ann, row, 100), 100);
      assert.equal(await ask(ann, again(row), 100, { unsent: [row.id] }), 100);
    },
  );

  test(
    "[US3] *: changes of one call are booked before its reservations are decided",
    { tokens: 100 },
    async ({
      ann,
      now,
    }) => {
      const row = open(now());
      assert.equal(await ask(ann, row, 100), 100);
      assert.equal(await ask(ann, again(row), 100, { rows: [ended(row, 20)] }), 70);
      const others = [again(row), again(row)];
      const answer = await account(ann, {
        reservations: others.map((row) => ({ row, maxTokens: 10 })),
      });
      assert.equal(answer.granted.size, 0);
    },
  );

  test(
    "[US3] *: what a killed worker reserved counts, also when another worker has taken its turn over",
    { tokens: 100 },
    async ({ ann, bob, now }) => {
      const killed = open(now());
      assert.equal(await ask(ann, killed, 50), 50);
      await account(ann, { rows: [{ ...killed, generationId: "gen-1" }] });
      const over = again(killed, { turnId: killed.turnId, begunAt: now() });
      const { granted, lost } = await account(bob, { reservations: [{ row: over, maxTokens: 80 }] });
      assert.equal(granted.get(over.id), 40);
      assert.deepEqual(lost, [{ id: killed.id, generationId: "gen-1" }]);
      const usage = { prompt_tokens: 11, completion_tokens: 4, total_tokens: 15 };
      await account(bob, { rows: [ended(over, 5)], corrections: [{ id: killed.id, usage }] });
      assert.equal(await ask(bob, again(killed), 80), 70, "100 - 15 - 15");
    },
  );

  test("[US2] *: what was reported is not replaced by an estimate, and what has ended is not opened", {
    tokens: 100,
  }, async ({ ann, bob, now }) => {
    const row = open(now());
    const next = (): AttemptRow => again(row);
    await ask(ann, row, 100);
    await account(ann, { rows: [ended(row, 40, { outcome: "cancelled" })] });
    await account(ann, { rows: [row] });
    const probe = next();
    assert.equal(await ask(bob, probe, 100), 50, "it stays ended");
    const usage = { prompt_tokens: 10, completion_tokens: 20, total_tokens: 30 };
    await account(bob, { unsent: [probe.id], corrections: [{ id: row.id, usage }] });
    await account(ann, { rows: [ended(row, 40, { outcome: "in_vain" })] });
    assert.equal(await ask(bob, next(), 100), 70);
  });

  test("[US3] *: an anonymous request counts for its session and its address", { tokens: 100 }, async ({
    ann,
    bob,
    now,
  }) => {
    const address = `address:${crypto.randomUUID()}`;
    const visitor = (): AttemptRow => {
      const sessionId = crypto.randomUUID();
      return open(now(), { sessionId, userId: undefined, quotaKeys: [`session:${sessionId}`, address] });
    };
    const first = visitor();
    assert.equal(await ask(ann, first, 50), 50);
    assert.equal(await ask(bob, visitor(), 50), 40, "the same address in another session");
    // A turn that was taken over does not know its address.
    const quotaKeys = first.quotaKeys.slice(0, 1);
    assert.equal(await ask(bob, again(first, { quotaKeys, begunAt: now() }), 50), undefined);
    const { usedUp } = await account(ann, { rows: [ended(first, 95)] });
    assert.deepEqual([...usedUp].sort(), [...first.quotaKeys].sort());
  });

  test(
    "[US3] *: a budget in dollars goes by the price that the model's last answer had",
    { cost: 1 },
    async ({
      ann,
      bob,
      now,
    }) => {
      const row = open(now(), { promptTokens: 16 });
      assert.equal(await ask(ann, row, 100), 100, "no price is known");
      await account(ann, { rows: [ended(row, 16, { cost: 0.25, estimated: false })] });
      const second = again(row);
      assert.equal(await ask(bob, second, 1000), 96, "0.75 dollars at 1/128 a token");
      assert.equal(await ask(bob, again(row), 1), undefined);
      // Estimated at 16 + 32 tokens.
      await account(bob, { rows: [ended(second, 32, { outcome: "cancelled" })] });
      assert.equal(await ask(bob, again(row), 1000), 48);
      const usage = { prompt_tokens: 16, completion_tokens: 32, total_tokens: 48, cost: 0.75 };
      const { usedUp } = await account(bob, {
        rows: [ended(again(row), 0, { cost: 0, estimated: false })],
        corrections: [{ id: second.id, usage }],
      });
      assert.deepEqual([...usedUp], row.quotaKeys);
    },
  );
}
