/** The retention on a real PostgreSQL: how much one call deletes, and which locks it waits for. */

import assert from "node:assert/strict";
import postgres from "postgres";
import { notification, query } from "../support/log_events.ts";
import { startPostgresStore, type StoreServer } from "../support/store_server.ts";
import { openStore } from "../support/stores_under_test.ts";

const GIANT_EVENTS = 30_000;

let server: StoreServer;
Deno.test.beforeAll(async () => {
  server = await startPostgresStore("15");
});
Deno.test.afterAll(async () => await server[Symbol.asyncDispose]());

interface Pruned {
  sessions: number;
  events: number;
  rows: number;
  more: boolean;
}

async function prune(limit: number, days = 30): Promise<Pruned> {
  const [row] = await server.sql(`select public.agent_upkeep(${days}, ${limit}) as answer`);
  return row?.answer as Pruned;
}

async function count(table: string, sessionId?: string): Promise<number> {
  const where = sessionId === undefined ? "" : ` where session_id = '${sessionId}'`;
  const [row] = await server.sql(`select count(*)::int as n from public.${table}${where}`);
  return Number(row?.n);
}

const TEXT_TABLES = ["agent_sessions", "agent_events", "agent_turns", "agent_turn_pieces", "agent_feedback"];

async function countAll(): Promise<number> {
  const counts = await Promise.all(TEXT_TABLES.map((table) => count(table)));
  return counts.reduce((sum, n) => sum + n, 0);
}

/** A user's session with this many events, each `ageDays` old. */
async function fill(events: number, ageDays: number): Promise<{ sessionId: string; userId: string }> {
  const sessionId = crypto.randomUUID();
  const userId = crypto.randomUUID();
  const at = `now() - interval '${ageDays} days'`;
  await server.sql(`insert into public.agent_sessions
    (session_id, user_id, created_at, last_active_at, active_hour, last_seq)
    values ('${sessionId}', '${userId}', ${at}, ${at}, date_trunc('hour', ${at}), ${events})`);
  await server.sql(`insert into public.agent_events (session_id, seq, key, kind, event, created_at)
    select '${sessionId}', n, 'n:' || n, 'notification', jsonb_build_object('seq', n, 'at', 1,
      'kind', 'notification', 'type', 'notification', 'notificationId', n::text, 'content', 'x'), ${at}
    from generate_series(1, ${events}) n`);
  return { sessionId, userId };
}

/** Like `fill`, with a turn and feedback of the same age for every third event. */
async function fillWithTurns(
  events: number,
  ageDays: number,
): Promise<{ sessionId: string; userId: string }> {
  const session = await fill(events, ageDays);
  const at = `now() - interval '${ageDays} days'`;
  await server.sql(`insert into public.agent_turns
      (session_id, turn_id, query_id, query_seq, state, created_at, ended_at)
    select '${session.sessionId}', 't-' || n, 'q-' || n, n, 'completed', ${at}, ${at}
    from generate_series(1, ${events}, 3) n`);
  await server.sql(`insert into public.agent_feedback
      (session_id, id, turn_id, verdict, comment, call, after_seq, created_at)
    select '${session.sessionId}', 'f-' || n, 't-' || n, 'modify', 'shorter', gen_random_uuid(), n, ${at}
    from generate_series(1, ${events}, 3) n`);
  return session;
}

Deno.test("[DU6] a backlog goes in calls of at most so many rows in all, and the answer says when there are more", async () => {
  await server.sql("truncate public.agent_sessions cascade");
  for (let n = 0; n < 20; n++) await fillWithTurns(60, 40);
  const before = await countAll();
  assert.equal(before, 20 * (1 + 60 + 20 + 20));
  let left = before;
  for (let calls = 1;; calls++) {
    const { rows, more } = await prune(300);
    const now = await countAll();
    assert.equal(left - now, rows);
    assert.ok(rows <= 300, `${rows}`);
    left = now;
    if (!more) break;
    assert.equal(rows, 300);
    assert.ok(calls < 10);
  }
  assert.equal(left, 0);
});

Deno.test("[DU6] a session of 30,000 events goes in slices; from the first one on it is unknown to everyone", async () => {
  await server.sql("truncate public.agent_sessions cascade");
  const { sessionId, userId } = await fill(GIANT_EVENTS, 40);
  const store = openStore(server, { idleTimeoutMs: 0 });
  const claims = [{ kind: "user" as const, userId }];
  assert.equal((await store.find(sessionId, claims, { tail: 1 }))?.tail.lastSeq, GIANT_EVENTS);
  assert.deepEqual(await prune(1000), { turns: 0, sessions: 0, events: 0, rows: 1000, more: true });
  assert.equal(await count("agent_events", sessionId), GIANT_EVENTS - 1000);

  assert.equal(await store.find(sessionId, claims, { tail: 1 }), undefined);
  assert.deepEqual(await store.list({ userId }, { limit: 5 }), []);
  assert.deepEqual(await store.heads([sessionId]), new Map());
  const gone = { code: "unknown_session" };
  await assert.rejects(store.read(sessionId, { afterSeq: 0, limit: 1 }), gone);
  await assert.rejects(store.commit(sessionId, { events: [query("1")] }), gone);
  const opinion = { id: "f", turnId: "t", rating: 1 as const, comment: "" };
  await assert.rejects(store.recordFeedback(sessionId, opinion), gone);
  const note = { id: "n", fingerprint: "f", caller: undefined, notification: notification("n") };
  await assert.rejects(store.deliver({ ...note, target: { kind: "session", sessionId } }), gone);
  const sent = await store.deliver({ ...note, target: { kind: "user", userId } });
  assert.deepEqual(sent.sessions, []);
  // The row has no user any more, so row level security shows it to no one.
  assert.deepEqual(await server.sql(`select user_id from public.agent_sessions`), [{ user_id: null }]);

  const whole = await store.prune(30);
  assert.deepEqual([whole.sessions, whole.more], [1, false]);
  assert.equal(await countAll(), 0);
});

Deno.test("[CM4] [DU6] a long session that its user deletes is gone at once, and its rows with the next calls, also where nothing is forgotten", async () => {
  await server.sql("truncate public.agent_sessions cascade");
  const { sessionId, userId } = await fill(GIANT_EVENTS, 0);
  const small = await fillWithTurns(30, 0);
  const store = openStore(server);
  await Promise.all([store.remove(sessionId), store.remove(small.sessionId)]);
  assert.equal(await store.find(sessionId, [{ kind: "user", userId }], { tail: 1 }), undefined);
  for (const table of TEXT_TABLES) assert.equal(await count(table, small.sessionId), 0, table);
  assert.equal(await count("agent_events", sessionId), GIANT_EVENTS - 10_000);
  // Removing it again deletes the next part, as an operator's delete would.
  await store.remove(sessionId);
  assert.equal(await count("agent_events", sessionId), GIANT_EVENTS - 20_000);
  assert.equal((await store.prune(0)).sessions, 1);
  assert.equal(await countAll(), 0);
});

Deno.test("[CM4] [DU6] a long session goes as fast where the planner takes sessions for short ones", async () => {
  await server.sql("truncate public.agent_sessions cascade");
  const { sessionId } = await fill(GIANT_EVENTS, 0);
  // What the planner does then. One transaction: if it fails, the settings go with it.
  await server.sql(`set enable_hashjoin = off; set enable_mergejoin = off; set statement_timeout = '8s';
    select public.agent_forget('${sessionId}', 10000); reset all`);
  assert.equal(await count("agent_events", sessionId), GIANT_EVENTS - 10_000);
});

Deno.test("[DU6] of a session that lives on, old events go from the beginning without a hole, and old turns and feedback with them", async () => {
  await server.sql("truncate public.agent_sessions cascade");
  const { sessionId } = await fillWithTurns(900, 40);
  const at = "now() - interval '2 days'";
  await server.sql(
    `update public.agent_sessions set last_active_at = now(), active_hour = date_trunc('hour', now())`,
  );
  await server.sql(`update public.agent_events set created_at = ${at} where seq > 600`);
  await server.sql(
    `update public.agent_turns set created_at = ${at}, ended_at = ${at} where query_seq > 600`,
  );
  await server.sql(`update public.agent_feedback set created_at = ${at} where after_seq > 600`);
  const store = openStore(server);
  let rows = 0;
  for (let more = true; more;) {
    const pruned = await prune(250);
    rows += pruned.rows;
    more = pruned.more;
    const page = await store.read(sessionId, { afterSeq: 0, limit: 1000 });
    const { oldestSeq, lastSeq } = page;
    assert.equal(lastSeq, 900);
    assert.deepEqual(
      page.events.map(({ seq }) => seq),
      Array.from({ length: 901 - oldestSeq }, (_, n) => oldestSeq + n),
    );
  }
  assert.equal((await store.read(sessionId, { afterSeq: 0, limit: 1 })).oldestSeq, 601);
  assert.deepEqual([await count("agent_turns"), await count("agent_feedback")], [100, 100]);
  // Each examined session with old data costs as much as a row.
  assert.ok(rows >= 600 + 200 + 200 && rows <= 1001, `${rows}`);
  // Sessions without old data are not examined again.
  assert.deepEqual(await prune(250), { turns: 0, sessions: 0, events: 0, rows: 0, more: false });
});

Deno.test("[DU6] the retention waits for nobody: what somebody holds is left for the next time, and one is at it at a time", async () => {
  await server.sql("truncate public.agent_sessions cascade");
  const [held, other] = [await fill(3, 40), await fill(3, 40)];
  const sql = postgres(server.databaseUrl ?? "", { max: 2, onnotice: () => {} });
  try {
    await sql.begin(async (transaction) => {
      await transaction`select from public.agent_sessions where session_id = ${held.sessionId} for update`;
      assert.equal((await prune(100)).sessions, 1);
    });
    assert.deepEqual([
      await count("agent_events", held.sessionId),
      await count("agent_events", other.sessionId),
    ], [3, 0]);
    await sql.begin(async (transaction) => {
      await transaction`select public.agent_upkeep(0)`;
      assert.deepEqual(await prune(100), { turns: 0, sessions: 0, events: 0, rows: 0, more: false });
    });
    assert.equal((await prune(100)).sessions, 1);
  } finally {
    await sql.end();
  }
});

Deno.test("[DU6] the database's scheduler goes by what a worker said last: 0 is never, and before one said anything nothing is forgotten", async () => {
  await server.sql("truncate public.agent_sessions cascade");
  await server.sql("delete from public.agent_settings");
  const store = openStore(server);
  await fill(3, 40);
  await fill(3, 20);
  const scheduled = async (): Promise<number> => {
    await server.sql("select public.agent_upkeep()");
    return await count("agent_sessions");
  };
  assert.equal(await scheduled(), 2);
  assert.equal((await store.prune(0)).rows, 0);
  assert.equal(await scheduled(), 2);
  await server.sql(`update public.agent_settings set value = '30' where name = 'retention_days'`);
  assert.equal(await scheduled(), 1);
  assert.equal((await store.prune(10)).sessions, 1);
  assert.deepEqual(
    await server.sql("select value from public.agent_settings where name = 'retention_days'"),
    [{
      value: 10,
    }],
  );
});

Deno.test("[DU6] what is kept of the service itself is bounded as well, and forgotten whatever the retention", async () => {
  await server.sql("truncate public.agent_sessions cascade");
  await server.sql(
    "truncate public.agent_notifications, public.agent_use, public.agent_calls, public.agent_connections",
  );
  await server.sql(`insert into public.agent_notifications
    select 'n' || n, '', gen_random_uuid(), '[]', now() - interval '2 days' from generate_series(1, 500) n`);
  await server.sql(
    `insert into public.agent_use select 'k' || n, 1, now(), current_date - 3, 0 from generate_series(1, 500) n`,
  );
  await server.sql(`insert into public.agent_calls values ('w', 'use', 1, '{}', now() - interval '2 hours'),
    ('alive', 'use', 1, '{}', now())`);
  await server.sql(
    `insert into public.agent_connections select 'k' || n, 'w', 1 from generate_series(1, 500) n`,
  );
  await server.sql(`insert into public.agent_connections values ('k', 'alive', 1)`);
  const calls: number[] = [];
  for (let more = true; more;) {
    const pruned = await prune(400, 0);
    calls.push(pruned.rows);
    more = pruned.more;
  }
  assert.deepEqual(calls, [400, 400, 400, 301]);
  for (const [table, left] of [["notifications", 0], ["use", 0], ["calls", 1], ["connections", 1]] as const) {
    assert.equal(await count(`agent_${table}`), left, table);
  }
});
