/** Rows locked by another transaction, on a real PostgreSQL, through the REST API. */

import assert from "node:assert/strict";
import postgres from "postgres";
import { notification, query } from "../support/log_events.ts";
import { startPostgresStore, type StoreServer } from "../support/store_server.ts";
import { openStore } from "../support/stores_under_test.ts";

/** Enough for commits while another row is locked, on a busy machine, and far less than a store waits that is held up. */
const SOON_MS = 20_000;
const PATIENT = { attemptMs: 60_000, commitWithinMs: 120_000 };

let server: StoreServer;
Deno.test.beforeAll(async () => {
  server = await startPostgresStore("15");
});
Deno.test.afterAll(async () => await server[Symbol.asyncDispose]());

type Store = ReturnType<typeof openStore>;

async function openSession(store: Store): Promise<string> {
  const sessionId = crypto.randomUUID();
  await store.create({ sessionId, owner: { kind: "user", userId: "ann" }, createdAt: Date.now() });
  return sessionId;
}

/** Runs `work` while another transaction holds the locks that `text` takes. */
async function whileLocked(text: string, work: () => Promise<void>): Promise<void> {
  const sql = postgres(server.databaseUrl ?? "", { max: 1, onnotice: () => {} });
  try {
    await sql.begin(async (transaction) => {
      await transaction.unsafe(text);
      await work();
    });
  } finally {
    await sql.end();
  }
}

for (const table of ["agent_sessions", "agent_turns"]) {
  Deno.test(`[DU5] [SQ1] a row of ${table} that is locked holds up its own session's writes, in their order, and no other's`, async () => {
    const store = openStore(server, PATIENT);
    const [held, ...others] = await Promise.all([1, 2, 3].map(() => openSession(store)));
    assert.ok(held !== undefined);
    await store.commit(held, { events: [query("1")], lease: "claim", startedTurnId: "t-1" });
    const checkpoint = (number: number, text: string) => ({
      epoch: 1,
      checkpoint: { turnId: "t-1", number, text },
    });
    let waiting: Promise<unknown>[] = [];
    await whileLocked(`select from public.${table} where session_id = '${held}' for update`, async () => {
      const from = performance.now();
      waiting = [
        store.commit(held, checkpoint(1, "one ")),
        store.commit(held, checkpoint(2, "two ")),
        store.commit(held, { events: [notification("n")] }),
      ];
      await Promise.all(others.map((id) => store.commit(id, { events: [query("1"), query("2")] })));
      // Also in later batches, while the write to the locked session is retried.
      waiting.push(store.commit(held, checkpoint(3, "three")));
      for (let n = 3; n < 8; n++) {
        await Promise.all(others.map((id) => store.commit(id, { events: [query(`${n}`)] })));
      }
      const tookMs = performance.now() - from;
      assert.ok(tookMs < SOON_MS, `${tookMs} ms`);
    });
    await Promise.all(waiting);
    const found = await store.find(held, [{ kind: "user", userId: "ann" }], { tail: 5 });
    assert.deepEqual([found?.openTurns[0]?.partial, found?.tail.lastSeq], ["one two three", 2]);
    for (const id of others) assert.equal((await store.read(id, { afterSeq: 0, limit: 1 })).lastSeq, 7);
  });
}

Deno.test("[DU5] a worker of the version before, which cannot try a single session again, waits as it did", async () => {
  const store = openStore(server);
  const held = await openSession(store);
  const other = await openSession(store);
  const writes = JSON.stringify([held, other].map((session) => ({ session, events: [query("1")] })));
  let answers: Promise<Record<string, unknown>[]> | undefined;
  await whileLocked(`select from public.agent_sessions where session_id = '${held}' for update`, async () => {
    answers = server.sql(`select public.agent_commit('old', 1, 5000, '${writes}') as answer`);
    const isDone = await Promise.race([
      answers.then(() => true),
      new Promise((resolve) => setTimeout(resolve, 500)),
    ]);
    assert.equal(isDone, undefined);
  });
  const [row] = await answers ?? [];
  assert.deepEqual((row?.answer as { last_seq: number }[]).map(({ last_seq }) => last_seq), [1, 1]);
});

Deno.test("[NT11] a notification that came too late to be answered is in the log once, when it is sent again with its id", async () => {
  const store = openStore(server, { commitWithinMs: 300, attemptMs: 100 });
  const sessionId = await openSession(store);
  const request = {
    id: crypto.randomUUID(),
    fingerprint: "f",
    caller: undefined,
    target: { kind: "session" as const, sessionId },
    notification: notification("late"),
  };
  await whileLocked(
    `select from public.agent_sessions where session_id = '${sessionId}' for update`,
    async () => {
      await assert.rejects(store.deliver(request), { code: "store_unavailable", retryable: true });
    },
  );
  const again = await openStore(server).deliver(request);
  assert.deepEqual(again, { sessions: [{ sessionId, seq: 1 }], repeated: true });
  assert.equal((await store.read(sessionId, { afterSeq: 0, limit: 5 })).lastSeq, 1);
});
