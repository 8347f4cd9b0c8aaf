/** A database of the previous version, with data in it, to which the newer migrations are applied in place. */

import assert from "node:assert/strict";
import { cancelled, notification, query, response } from "../support/log_events.ts";
import type { PostgresRelease } from "../support/postgres_server.ts";
import { readMigrations, startPostgresStore, type StoreServer } from "../support/store_server.ts";
import { advanceDatabase, LEASE_MS, openStore } from "../support/stores_under_test.ts";

/** A worker of the previous version, with the calls that it makes. */
class OldWorker {
  readonly #server: StoreServer;
  #number = 0;

  constructor(server: StoreServer) {
    this.#server = server;
  }

  async create(sessionId: string, userId: string): Promise<void> {
    await this.#call(`agent_create_session('${sessionId}', '${userId}', null, 1735689600123)`);
  }

  async commit(session: string, write: object): Promise<Record<string, unknown>> {
    const writes = JSON.stringify([{ session, ...write }]).replaceAll("'", "''");
    const [answer] = await this.#call(
      `agent_commit('old', ${++this.#number}, ${LEASE_MS}, '${writes}')`,
    ) as Record<string, unknown>[];
    assert.equal(answer?.error, undefined);
    return answer ?? {};
  }

  async find(sessionId: string, userId: string): Promise<Record<string, unknown>> {
    const claims = JSON.stringify([{ user_id: userId }]);
    return await this.#call(
      `agent_find_session('${sessionId}', '${claims}', 50, 1000000, 1800000, 'old')`,
    ) as Record<string, unknown>;
  }

  async feedback(sessionId: string, turnId: string): Promise<unknown> {
    return await this.#call(
      `agent_record_feedback('${crypto.randomUUID()}', '${sessionId}', 'f-${turnId}', '${turnId}', 'modify', null, 'shorter')`,
    );
  }

  async rest(sessionId: string): Promise<void> {
    assert.equal(await this.#call("agent_store_version()"), 1);
    const pushed = JSON.stringify(notification("pushed"));
    await this.#call(
      `agent_notify('${crypto.randomUUID()}', 'pushed', 'f', null, '${sessionId}', null, '${pushed}', 1800000)`,
    );
    const report = '[{"key":"user:old","frames":1,"tokens":1,"connections":1}]';
    await this.#call(`agent_settle_use('old', ${++this.#number}, '${report}', 60, 20)`);
    const pruned = await this.#call("agent_prune(interval '30 days')") as Record<string, unknown>;
    assert.deepEqual([pruned.turns, pruned.sessions, pruned.events], [0, 0, 0]);
    await this.#call(`agent_heads('["${sessionId}"]')`);
    await this.#call("agent_list_sessions('ann', 5, null, 1800000)");
    await this.#call(`agent_read('${sessionId}', 0, 5, 1000000, 'old')`);
  }

  async #call(text: string): Promise<unknown> {
    const [row] = await this.#server.sql(`select public.${text} as answer`);
    return row?.answer;
  }
}

for (const release of ["15", "18"] satisfies PostgresRelease[]) {
  Deno.test(`[DU1] PostgreSQL ${release}: newer migrations, applied to a database in use, twice: old and new workers go on`, async () => {
    const [first = "", ...newer] = await readMigrations();
    assert.ok(newer.length > 0);
    await using server = await startPostgresStore(release, [first]);
    const old = new OldWorker(server);
    const [running, ended] = [crypto.randomUUID(), crypto.randomUUID()];
    await old.create(running, "ann");
    await old.create(ended, "ann");
    await old.commit(ended, { events: [query("1", "How do trains\nwork?"), response("1", "On rails.")] });
    await old.commit(ended, { events: [query("2", "And boats?"), cancelled("2")] });
    await old.feedback(ended, "t-1");
    // A running turn with checkpoints, and a queued query.
    await old.commit(running, { lease: "claim", events: [query("1"), query("2")], started: "t-1" });
    await old.commit(running, { epoch: 1, checkpoint: { turn: "t-1", number: 1, text: "one " } });
    await old.commit(running, { epoch: 1, checkpoint: { turn: "t-1", number: 2, text: "two " } });

    for (let time = 0; time < 2; time++) {
      for (const migration of newer) await server.sql(migration);
    }

    // The old worker continues its answer, and a new worker sees all of it.
    await old.commit(running, { epoch: 1, checkpoint: { turn: "t-1", number: 3, text: "three " } });
    const store = openStore(server);
    const ann = [{ kind: "user" as const, userId: "ann" }];
    const found = await store.find(running, ann, { tail: 50 });
    assert.deepEqual(found?.openTurns.map(({ query, starts, partial }) => [query.turnId, starts, partial]), [
      ["t-1", 1, "one two three "],
      ["t-2", 0, ""],
    ]);
    assert.deepEqual((await store.find(ended, ann, { tail: 50 }))?.notes, ["shorter"]);
    // What a list shows is made from what the log has, also by a search, and by what is written first.
    const shown = async (search?: string): Promise<unknown> =>
      (await store.list({ userId: "ann" }, { limit: 5, ...(search !== undefined && { search }) }))
        .map(({ record, title, preview, isRunning }) => [record.sessionId, title, preview, isRunning]);
    const trains = [ended, "How do trains work?", "And boats?", false];
    assert.deepEqual(await shown("boats train"), [trains]);
    assert.deepEqual(await shown(), [[running, "?", "?", true], trains]);
    const written = crypto.randomUUID();
    await old.create(written, "ann");
    await old.commit(written, { events: [query("1", "A new one")] });
    assert.deepEqual(await shown("new"), [[written, "A new one", "A new one", true]]);
    await store.rename(ended, ann, "Travels");
    await store.setArchived(ended, ann, true);
    assert.deepEqual(await shown("boats"), []);
    const replaced = { ...query("3", "And planes?"), replaces: "2" };
    const { events: rewound } = await store.commit(ended, {
      events: [replaced, response("3", "In the air.")],
    });
    assert.deepEqual(rewound.map(({ seq, kind }) => [seq, kind]), [[5, "rewound"], [6, "query"], [
      7,
      "response",
    ]]);
    assert.deepEqual(await shown("boats"), [[ended, "Travels", "In the air.", false]]);
    const visible = await store.readVisible(ended, { beforeSeq: 100, limit: 9 });
    assert.deepEqual(visible.events.map(({ seq }) => seq), [1, 2, 5, 6, 7]);
    await old.rest(running);

    // The new worker takes over, and the old one sees its changes.
    await advanceDatabase(server, 2 * LEASE_MS);
    const claimed = await store.commit(running, { lease: "claim", startedTurnId: "t-1" });
    assert.deepEqual([claimed.lease.epoch, claimed.openTurns?.[0]?.partial], [2, "one two three "]);
    const again = { turnId: "t-1", number: 1, text: "one two three four" };
    await store.commit(running, { epoch: 2, checkpoint: again });
    const seen = await old.find(running, "ann") as { open_turns: { partial: string }[] };
    assert.deepEqual(seen.open_turns.map(({ partial }) => partial), ["one two three four", ""]);
    await store.commit(running, { epoch: 2, events: [response("1")] });
    await store.commit(running, { epoch: 2, events: [response("2")], lease: "release" });
    assert.deepEqual(await server.sql("select count(*)::int as n from public.agent_turn_pieces"), [{ n: 0 }]);
    assert.equal((await store.find(running, ann, { tail: 50 }))?.openTurns.length, 0);
    assert.deepEqual(
      await store.recordFeedback(running, { id: "f", turnId: "t-1", rating: 1, comment: "" }),
      {
        repeated: false,
      },
    );

    // What the old worker has counted today is part of the budget.
    const row = {
      id: crypto.randomUUID(),
      sessionId: running,
      turnId: "t-3",
      userId: "old",
      quotaKeys: ["user:old"],
      model: "m",
      generationId: undefined,
      promptTokens: 1,
      completionTokens: 0,
      reasoningTokens: 0,
      cost: undefined,
      estimated: true,
      outcome: "open",
      begunAt: Date.now(),
      endedAt: undefined,
    } as const;
    const limited = openStore(server, { budget: { tokens: 10, cost: 0 } }).usage;
    const change = { rows: [], unsent: [], corrections: [], reservations: [{ row, maxTokens: 100 }] };
    assert.equal((await limited.account(change)).granted.get(row.id), 9);

    // The retention also deletes data from before the migrations.
    await advanceDatabase(server, 31 * 86_400_000);
    assert.equal((await store.prune(30)).sessions, 3);
    const left = await server.sql(`select (select count(*) from public.agent_events)::int as events,
      (select count(*) from public.agent_turns)::int as turns, (select count(*) from public.agent_feedback)::int as feedback`);
    assert.deepEqual(left, [{ events: 0, turns: 0, feedback: 0 }]);
  });
}
