/** The Postgres store's features other than sessions and logs: notifications, quotas, retention, the probe. */

import assert from "node:assert/strict";
import type { DeliveryRequest } from "../../supabase/functions/_shared/ports/notifications.ts";
import { approvalStep, failure, notification, query, response } from "../support/log_events.ts";
import { startPostgresStore, type StoreServer } from "../support/store_server.ts";
import { advanceDatabase, IDLE_MS, LEASE_MS, openStore } from "../support/stores_under_test.ts";

const HOUR_MS = 3_600_000;
/** A usage report in which nothing was used. */
const NO_USE = { frames: 0, framesSince: 0, connections: 0 };
const servers = new Map<string, StoreServer>();

Deno.test.beforeAll(async () => {
  const [oldest, newest] = await Promise.all([startPostgresStore("15"), startPostgresStore("18")]);
  servers.set("PostgreSQL 15", oldest).set("PostgreSQL 18", newest);
});
Deno.test.afterAll(async () => {
  for (const server of servers.values()) await server[Symbol.asyncDispose]();
});

function serverOf(name: string): StoreServer {
  const server = servers.get(name);
  assert.ok(server !== undefined);
  return server;
}

type Opened = { sessionId: string; userId: string };

async function open(server: StoreServer, userId: string = crypto.randomUUID()): Promise<Opened> {
  const sessionId = crypto.randomUUID();
  await openStore(server).create({ sessionId, owner: { kind: "user", userId }, createdAt: Date.now() });
  return { sessionId, userId };
}

function delivery(target: DeliveryRequest["target"], more: Partial<DeliveryRequest> = {}): DeliveryRequest {
  const id = more.id ?? crypto.randomUUID();
  const kept = target.kind === "nobody" ? undefined : notification(id);
  return { id, fingerprint: "f", caller: undefined, target, notification: kept, ...more };
}

for (const name of ["PostgreSQL 15", "PostgreSQL 18"]) {
  Deno.test(`${name} is the version that it says`, async () => {
    const [row] = await serverOf(name).sql("select split_part(version(), '.', 1) as version");
    assert.equal(row?.version, name);
  });

  Deno.test(`[TL15] ${name}: a call of another's session is decided once, in time, and while its turn is open`, async () => {
    const server = serverOf(name);
    const store = openStore(server);
    const { sessionId, userId } = await open(server);
    const events = [query("1"), ...approvalStep("1", Date.now() + HOUR_MS)];
    await store.commit(sessionId, { lease: "claim", events, startedTurnId: "t-1" });
    const decision = {
      sessionId,
      approvalId: "t-1:1.1:0",
      decisionId: "d",
      verdict: "modify" as const,
      input: { amount: 10 },
      comment: "half",
      by: "bob",
      claims: undefined,
    };
    const refusal = async (change: object): Promise<string> =>
      await store.decide({ ...decision, ...change }).then(() => "", ({ code }) => code);
    assert.equal(await refusal({ sessionId: crypto.randomUUID() }), "unknown_session");
    assert.equal(await refusal({ sessionId: "never" }), "unknown_session");
    assert.equal(await refusal({ claims: [{ kind: "user", userId: "somebody else" }] }), "unknown_session");
    assert.equal(await refusal({ approvalId: "t-1:1.1:1" }), "unknown_approval");
    const own = { ...decision, claims: [{ kind: "user" as const, userId }] };
    assert.deepEqual(await store.decide(own), { seq: 4 });
    assert.deepEqual(await store.decide(decision), { seq: 4 }, "the same again");
    assert.equal(await refusal({ decisionId: "e" }), "already_decided");
    const { events: [logged] } = await store.read(sessionId, { afterSeq: 3, limit: 5 });
    const { decisionId, verdict, input, comment, by } = decision;
    const { at: _, ...told } = logged ?? { at: 0 };
    assert.deepEqual(told, {
      kind: "approval_decided",
      seq: 4,
      queryId: "1",
      turnId: "t-1",
      callId: "t-1:1.1:0",
      ...{ decisionId, verdict, input, comment, by },
    });
    await store.commit(sessionId, { epoch: 1, events: [query("2"), ...approvalStep("2", Date.now() - 1)] });
    assert.equal(await refusal({ approvalId: "t-2:1.1:0" }), "already_decided", "too late");
    await store.commit(sessionId, {
      epoch: 1,
      events: [query("3"), ...approvalStep("3", Date.now() + HOUR_MS)],
    });
    const rows = await server.sql(`select approval_id, name, input, pending, verdict, decided_by
      from public.agent_approvals where session_id = '${sessionId}' order by approval_id`);
    const row = { name: "refund", input: { amount: 25 } };
    assert.deepEqual(rows.map((each) => ({ ...each })), [
      { approval_id: "t-1:1.1:0", ...row, pending: false, verdict: "modify", decided_by: "bob" },
      { approval_id: "t-2:1.1:0", ...row, pending: false, verdict: null, decided_by: null },
      { approval_id: "t-3:1.1:0", ...row, pending: true, verdict: null, decided_by: null },
    ]);
    await store.commit(sessionId, { epoch: 1, events: [failure("3")] });
    assert.equal(await refusal({ approvalId: "t-3:1.1:0" }), "unknown_approval", "its turn is over");
  });

  Deno.test(`[TL7] ${name}: nobody has to be there while a turn waits: the retention leaves it alone, and what waits behind it`, async () => {
    const server = serverOf(name);
    const store = openStore(server);
    const { sessionId } = await open(server);
    const events = [query("1"), query("2"), ...approvalStep("1", Date.now() + 24 * HOUR_MS)];
    await store.commit(sessionId, { lease: "claim", events, startedTurnId: "t-1" });
    await store.commit(sessionId, { epoch: 1, lease: "release" });
    const endsAfter = async (hours: number): Promise<number> => {
      const shift = `- interval '${hours} hours'`;
      await server.sql(`update public.agent_sessions set last_active_at = last_active_at ${shift}
        where session_id = '${sessionId}'`);
      await server.sql(
        `update public.agent_turns set created_at = created_at ${shift}, started_at = started_at ${shift},
        waits_until = waits_until ${shift} where session_id = '${sessionId}'`,
      );
      await store.prune(0);
      const { events } = await store.read(sessionId, { afterSeq: 0, limit: 20 });
      return events.filter(({ kind }) => kind === "error").length;
    };
    assert.equal(await endsAfter(20), 0);
    assert.equal(await endsAfter(6), 2);
  });

  Deno.test(`[NT2] [NT3] ${name}: a notification is in the log of the session, or of each session of the user`, async () => {
    const server = serverOf(name);
    const store = openStore(server);
    const first = await open(server);
    const second = await open(server, first.userId);
    const idle = await open(server, first.userId);
    const other = await open(server);
    await server.sql(`update public.agent_sessions set last_active_at = last_active_at - interval '1 day'
      where session_id = '${idle.sessionId}'`);
    await store.commit(second.sessionId, { events: [query("1")] });

    const { sessionId } = first;
    const one = await store.deliver(delivery({ kind: "session", sessionId }));
    assert.deepEqual(one, { sessions: [{ sessionId, seq: 1 }], repeated: false });
    const request = delivery({ kind: "user", userId: first.userId });
    const both = await store.deliver(request);
    const sessions = [{ sessionId, seq: 2 }, { sessionId: second.sessionId, seq: 2 }];
    assert.deepEqual(both, {
      sessions: sessions.toSorted((a, b) => a.sessionId < b.sessionId ? -1 : 1),
      repeated: false,
    });
    const { events } = await store.read(second.sessionId, { afterSeq: 1, limit: 5 });
    assert.deepEqual(events.map(({ seq: _, at: __, ...event }) => event), [request.notification]);
    assert.equal((await store.read(other.sessionId, { afterSeq: 0, limit: 5 })).lastSeq, 0);
    const nobody = await store.deliver(delivery({ kind: "user", userId: "carl" }));
    assert.deepEqual(nobody, { sessions: [], repeated: false });
    assert.deepEqual(await store.deliver(delivery({ kind: "nobody" })), { sessions: [], repeated: false });
    // Not in use, but it can be named.
    const named = await store.deliver(delivery({ kind: "session", sessionId: idle.sessionId }));
    assert.deepEqual(named.sessions, [{ sessionId: idle.sessionId, seq: 1 }]);
    for (const unknown of [crypto.randomUUID(), "never"]) {
      const missing = delivery({ kind: "session", sessionId: unknown });
      await assert.rejects(() => store.deliver(missing), { code: "unknown_session" });
      // It was not sent, so its id can be used again.
      const again = await store.deliver({ ...delivery({ kind: "session", sessionId }), id: missing.id });
      assert.equal(again.repeated, false);
    }
  });

  Deno.test(`[NT6] ${name}: an id is sent once in 24 hours, by whichever worker; with other content it is refused`, async () => {
    const server = serverOf(name);
    const { sessionId } = await open(server);
    const request = delivery({ kind: "session", sessionId }, { id: `n-${sessionId}` });
    const sent = await Promise.all([1, 2, 3].map(() => openStore(server).deliver(request)));
    assert.deepEqual(sent.map(({ repeated }) => repeated).sort(), [false, true, true]);
    assert.ok(sent.every(({ sessions }) => sessions[0]?.seq === 1));
    const changed = { ...request, fingerprint: "g" };
    await assert.rejects(() => openStore(server).deliver(changed), { code: "id_conflict" });
    assert.equal((await openStore(server).read(sessionId, { afterSeq: 0, limit: 5 })).lastSeq, 1);
    const broadcast = delivery({ kind: "nobody" }, { id: `b-${sessionId}` });
    assert.equal((await openStore(server).deliver(broadcast)).repeated, false);
    assert.equal((await openStore(server).deliver(broadcast)).repeated, true);
    await advanceDatabase(server, 25 * HOUR_MS);
    assert.equal((await openStore(server).deliver({ ...broadcast, fingerprint: "g" })).repeated, false);
  });

  Deno.test(`[NT4] ${name}: a user reaches only her own sessions; anyone else's are unknown`, async () => {
    const server = serverOf(name);
    const store = openStore(server);
    const mine = await open(server);
    const other = await open(server);
    const caller = mine.userId;
    const sent = delivery({ kind: "session", sessionId: mine.sessionId }, { caller });
    assert.equal((await store.deliver(sent)).sessions.length, 1);
    assert.equal(
      (await store.deliver(delivery({ kind: "user", userId: caller }, { caller }))).sessions.length,
      1,
    );
    const unknown = { code: "unknown_session" };
    for (const sessionId of [other.sessionId, crypto.randomUUID()]) {
      await assert.rejects(
        () => store.deliver(delivery({ kind: "session", sessionId }, { caller })),
        unknown,
      );
    }
    // She also cannot learn that it was sent.
    const theirs = delivery({ kind: "session", sessionId: other.sessionId });
    await store.deliver(theirs);
    await assert.rejects(() => store.deliver({ ...theirs, caller }), unknown);
    const forbidden = { code: "forbidden" };
    const user = delivery({ kind: "user", userId: other.userId }, { caller });
    await assert.rejects(() => store.deliver(user), forbidden);
    await assert.rejects(() => store.deliver(delivery({ kind: "nobody" }, { caller })), forbidden);
  });

  Deno.test(`[LM1] [LM3] ${name}: frames and connections of a user are counted over all workers`, async () => {
    const server = serverOf(name);
    const rate = { perMinute: 60, burst: 20 };
    const [ann, bob] = [openStore(server, { rate }), openStore(server, { rate })];
    const key = `user:${crypto.randomUUID()}`;
    const now = Date.now();
    const report = { ...NO_USE, key, frames: 15, framesSince: now, connections: 3 };
    const standing = async (store = ann, more: Partial<typeof report> = {}): Promise<unknown> => {
      const settled = (await store.report([{ ...NO_USE, key, connections: 3, ...more }])).get(key);
      assert.ok(settled !== undefined);
      return [Math.floor(settled.framesLeft), settled.connections];
    };
    assert.deepEqual(await standing(ann, report), [5, 3]);
    assert.deepEqual(await standing(bob, { ...report, connections: 2 }), [-10, 5]);
    await advanceDatabase(server, 20_000);
    assert.deepEqual(await standing(), [10, 5]);
    // Bob's last report expires after 45 seconds, and so do his connections.
    await advanceDatabase(server, 30_000);
    assert.deepEqual(await standing(), [20, 3]);
    assert.deepEqual(await standing(bob, { connections: 2 }), [20, 5]);
    assert.deepEqual(await standing(bob, { connections: 0 }), [20, 3]);
    assert.deepEqual(await ann.report([]), new Map());
    const since = Date.now();
    const one = { ...report, frames: 1, framesSince: since };
    const many = await Promise.all(Array.from({ length: 5 }, () => ann.report([one])));
    assert.deepEqual(many.map((settled) => Math.floor(settled.get(key)?.framesLeft ?? NaN)), [
      19,
      18,
      17,
      16,
      15,
    ]);
  });

  Deno.test(`[LM1] [LM11] ${name}: frames are booked with the time at which they were taken`, async () => {
    // One frame in ten seconds: the time that a call takes does not show.
    const rate = { perMinute: 6, burst: 20 };
    const [ann, bob] = [openStore(serverOf(name), { rate }), openStore(serverOf(name), { rate })];
    const key = `user:${crypto.randomUUID()}`;
    const left = async (store: typeof ann, frames: number, agoMs: number): Promise<number> => {
      const report = { ...NO_USE, key, frames, framesSince: Date.now() - agoMs };
      const { framesLeft = NaN } = (await store.report([report])).get(key) ?? {};
      return Math.round(framesLeft * 2) / 2;
    };
    assert.equal(await left(ann, 20, 30_000), 3, "refilled since they were taken");
    assert.equal(await left(bob, 0, 0), 3, "a report without use changes nothing");
    assert.equal(await left(bob, 5, 20_000), -2, "frames used before the last report");
    assert.equal(await left(ann, 0, 0), -2);
    assert.ok(await left(ann, 1, -50_000) <= -2.5, "a clock that is ahead gains no frames");
  });

  Deno.test(`[LM1] ${name}: a worker of the version before reports without ages and days`, async () => {
    const { sql } = serverOf(name);
    const key = `user:${crypto.randomUUID()}`;
    const [answer] = await sql(`select public.agent_settle_use('${crypto.randomUUID()}', 1,
      '[{"key":"${key}","frames":5,"tokens":7,"connections":1}]', 60, 20) -> '${key}' as standing`);
    const { frames_left, tokens_today, connections } = Object(Object(answer).standing);
    assert.deepEqual([Math.floor(Number(frames_left)), tokens_today, connections], [15, 7, 1]);
  });

  Deno.test(`[DU6] ${name}: agent_prune ends what nobody runs, and forgets what nobody used`, async () => {
    const server = serverOf(name);
    const store = openStore(server);
    await server.sql("truncate public.agent_sessions cascade");
    const [old, left, live] = [await open(server), await open(server), await open(server)];
    const key = `user:${old.userId}`;
    await store.report([{ ...NO_USE, key, frames: 1, connections: 1 }]);
    const sent = delivery({ kind: "session", sessionId: old.sessionId });
    await store.deliver(sent);
    await store.commit(old.sessionId, { events: [query("1")] });
    const events = [query("1"), query("2")];
    await store.commit(left.sessionId, { lease: "claim", events, startedTurnId: "t-1" });
    await store.commit(left.sessionId, { epoch: 1, checkpoint: { turnId: "t-1", number: 1, text: "half" } });
    await store.commit(live.sessionId, { events: [query("1"), response("1"), query("2"), query("3")] });
    const pruned = async (): Promise<unknown> => {
      const { rows: _, ...done } = await store.prune(30);
      return done;
    };
    await pruned();
    await advanceDatabase(server, 29 * 24 * HOUR_MS);
    await store.commit(live.sessionId, { lease: "claim", startedTurnId: "t-2" });
    await store.commit(left.sessionId, { events: [notification("later")] });
    // `left` was active just now, so its open turns are not ended yet.
    assert.deepEqual(await pruned(), { turns: 1, sessions: 0, events: 0, more: false });
    await advanceDatabase(server, HOUR_MS + LEASE_MS);
    await store.commit(live.sessionId, { lease: "claim" });
    assert.deepEqual(await pruned(), { turns: 2, sessions: 0, events: 0, more: false });
    const page = await store.read(left.sessionId, { afterSeq: 3, limit: 5 });
    const content = "Failed to generate response: nobody was there to finish it";
    assert.deepEqual(page.events.map(({ at: _, ...event }) => event), [
      { ...failure("1", "half"), content, seq: 4 },
      { ...failure("2"), content, seq: 5 },
    ]);
    const late = await store.commit(left.sessionId, { events: [response("1")] });
    assert.deepEqual(late.events.map(({ kind, seq }) => [kind, seq]), [["error", 4]]);

    await advanceDatabase(server, 24 * HOUR_MS);
    // The query of an open turn is kept, and so is everything after it.
    await store.commit(live.sessionId, { epoch: 1 });
    assert.deepEqual(await pruned(), { turns: 0, sessions: 1, events: 2 + 2, more: false });
    const kept = await store.read(live.sessionId, { afterSeq: 0, limit: 9 });
    assert.deepEqual([kept.oldestSeq, kept.lastSeq], [3, 4]);
    await assert.rejects(() => store.read(old.sessionId, { afterSeq: 0, limit: 1 }), {
      code: "unknown_session",
    });
    const rows = await server.sql(`select
      (select count(*) from public.agent_events where session_id = '${old.sessionId}')::int as events,
      (select count(*) from public.agent_turns where session_id = '${old.sessionId}')::int as turns,
      (select count(*) from public.agent_notifications where id = '${sent.id}')::int as ids,
      (select count(*) from public.agent_use where key = '${key}')::int as use,
      (select count(*) from public.agent_connections where key = '${key}')::int as connections`);
    assert.deepEqual(rows, [{ events: 0, turns: 0, ids: 0, use: 0, connections: 0 }]);
  });

  Deno.test(`[DU7] ${name}: the probe tells a project without the migration from one that cannot be reached`, async () => {
    const server = serverOf(name);
    assert.equal(await openStore(server).probe(), "postgres");
    const unavailable = { code: "store_unavailable", retryable: true };
    await assert.rejects(() => openStore(server, { secretKey: "sb_secret_other" }).probe(), unavailable);
    const nowhere = openStore(server, { supabaseUrl: "http://127.0.0.1:1", readWithinMs: 1 });
    await assert.rejects(() => nowhere.probe(), unavailable);
    const sessionId = crypto.randomUUID();
    await assert.rejects(() => nowhere.find(sessionId, [], { tail: 1 }), unavailable);
    const record = { sessionId, owner: { kind: "user", userId: "u" }, createdAt: 1 } as const;
    await assert.rejects(() => nowhere.create(record), unavailable);
    const cut = openStore(server, { supabaseUrl: "http://127.0.0.1:1", commitWithinMs: 1 });
    await assert.rejects(() => cut.commit(sessionId, { events: [query("1")] }), unavailable);
    await server.sql("alter function public.agent_store_version() rename to agent_store_version_");
    try {
      assert.equal(await openStore(server).probe(), "missing");
    } finally {
      await server.sql("alter function public.agent_store_version_() rename to agent_store_version");
    }
  });

  Deno.test(`[DU5] ${name}: one write that the database refuses does no harm to those that go with it`, async () => {
    const server = serverOf(name);
    const store = openStore(server);
    const sessions = [await open(server), await open(server), await open(server)];
    const [first, second, third] = sessions.map(({ sessionId }) => sessionId);
    await store.commit(second ?? "", { events: [query("0")] });
    // Two queries must not have the same turn. The second one is refused, and with it the whole call.
    const twice = { ...query("9"), turnId: "t-0" };
    const settled = await Promise.allSettled([
      store.commit(first ?? "", { events: [query("1")] }),
      store.commit(second ?? "", { events: [twice] }),
      store.commit(second ?? "", { events: [query("2")] }),
      store.commit(third ?? "", { events: [query("1")] }),
      store.commit(crypto.randomUUID(), { events: [query("1")] }),
    ]);
    assert.deepEqual(settled.map((one) => one.status === "fulfilled" ? one.value.lastSeq : one.reason.code), [
      1,
      "internal",
      2,
      1,
      "unknown_session",
    ]);
  });
}

Deno.test("[LM6] a session that is not used is there until it is pruned; only a user's notifications do not go there", async () => {
  const server = serverOf("PostgreSQL 15");
  const { sessionId, userId } = await open(server);
  await advanceDatabase(server, 2 * IDLE_MS);
  const store = openStore(server);
  assert.notEqual(await store.find(sessionId, [{ kind: "user", userId }], { tail: 1 }), undefined);
  assert.equal((await store.list({ userId }, { limit: 2 })).length, 1);
  assert.equal((await store.deliver(delivery({ kind: "user", userId }))).sessions.length, 0);
  const forever = openStore(server, { idleTimeoutMs: 0 });
  assert.equal((await forever.deliver(delivery({ kind: "user", userId }))).sessions.length, 1);
  assert.equal((await store.deliver(delivery({ kind: "session", sessionId }))).sessions.length, 1);
});

Deno.test("[RS3] PostgreSQL 15: a guessed id, a wrong token and another's session take the time of one that never was", async () => {
  const server = serverOf("PostgreSQL 15");
  const store = openStore(server);
  const { sessionId } = await open(server);
  const anonymous = crypto.randomUUID();
  await store.create({
    sessionId: anonymous,
    owner: { kind: "anonymous", tokenHash: "a".repeat(64) },
    createdAt: Date.now(),
  });
  const events = Array.from({ length: 100 }, (_, n) => query(`q${n}`));
  await store.commit(sessionId, { events });
  const stranger = [{ kind: "user" as const, userId: "mallory" }];
  const asked = {
    "never was": () => store.find(crypto.randomUUID(), stranger, { tail: 150 }),
    "another's": () => store.find(sessionId, stranger, { tail: 150 }),
    "a wrong token": () =>
      store.find(anonymous, [{ kind: "anonymous", tokenHash: "b".repeat(64) }], { tail: 150 }),
  };
  const took = new Map(Object.keys(asked).map((name) => [name, [] as number[]]));
  // Alternate between the calls, so that the machine's other load affects all of them equally.
  for (let round = 0; round < 80; round++) {
    for (const [name, find] of Object.entries(asked)) {
      const from = performance.now();
      assert.equal(await find(), undefined);
      took.get(name)?.push(performance.now() - from);
    }
  }
  // A quick one of each: half of them may have waited for the processor on a busy machine.
  const quick = (name: string): number => took.get(name)?.toSorted((a, b) => a - b)[8] ?? NaN;
  for (const name of ["another's", "a wrong token"]) {
    const ratio = quick(name) / quick("never was");
    assert.ok(ratio > 0.6 && ratio < 1.6, `${name}: ${ratio} × the time of a session that never existed`);
  }
});
