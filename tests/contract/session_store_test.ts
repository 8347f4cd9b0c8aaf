/** What every SessionStore and EventLog must do, run on each implementation. */

import assert from "node:assert/strict";
import type { Clock, EventLog, SessionRecord, SessionStore } from "../../supabase/functions/_shared/ports.ts";
import { MemoryStore } from "../../supabase/functions/_shared/session/memory_store.ts";
import { ManualClock } from "../support/manual_clock.ts";
import type { NewLogEvent } from "../../supabase/functions/_shared/protocol/log_event.ts";

interface StoreUnderTest {
  store: SessionStore & EventLog;
  clock: Pick<Clock, "now">;
}

type MakeStore = (options: { maxEvents: number; maxChars?: number }) => Promise<StoreUnderTest>;

const ANN = { kind: "user", userId: "ann" } as const;
const TOKEN = { kind: "anonymous", tokenHash: "a".repeat(64) } as const;

function query(id: string, content = "?"): NewLogEvent {
  return {
    kind: "query",
    queryId: id,
    turnId: `t-${id}`,
    content,
    options: {},
    connectionId: "c",
    feedback: [],
  };
}

const IMPLEMENTATIONS: Readonly<Record<string, MakeStore>> = {
  MemoryStore(options): Promise<StoreUnderTest> {
    const clock = new ManualClock();
    return Promise.resolve({ clock, store: new MemoryStore({ clock, ...options }) });
  },
};

for (const [name, make] of Object.entries(IMPLEMENTATIONS)) {
  const record = (sessionId: string, owner: SessionRecord["owner"] = ANN, createdAt = 1): SessionRecord => ({
    sessionId,
    owner,
    createdAt,
  });

  Deno.test(`[RS3] [RS5] ${name}: a session is found by its owner, and by nobody else`, async () => {
    const { store } = await make({ maxEvents: 10 });
    await store.create(record("s1"));
    await store.create(record("s2", TOKEN));
    assert.deepEqual(await store.find("s1", [ANN]), record("s1"));
    assert.deepEqual(await store.find("s2", [ANN, TOKEN]), record("s2", TOKEN));
    for (const claims of [[], [TOKEN], [{ kind: "user", userId: "bob" } as const]]) {
      assert.equal(await store.find("s1", claims), undefined);
      assert.equal(await store.find("never", claims), undefined);
    }
  });

  Deno.test(`[SQ1] ${name}: seq counts 1, 2, 3 … within each session, in the order of the calls`, async () => {
    const { store, clock } = await make({ maxEvents: 1000 });
    await store.create(record("s1"));
    await store.create(record("s2"));
    const appended = await Promise.all(
      Array.from(
        { length: 100 },
        (_, index) =>
          store.append(index % 3 === 0 ? "s2" : "s1", [query(`q${index}`), {
            kind: "cleared",
            connectionId: "c",
          }]),
      ),
    );
    const ofFirst = appended.filter((_, index) => index % 3 !== 0).flat();
    assert.deepEqual(ofFirst.map(({ seq }) => seq), ofFirst.map((_, index) => index + 1));
    assert.ok(ofFirst.every(({ at }) => at <= clock.now()));
    const { events } = await store.read("s1", { afterSeq: 0, limit: 1000 });
    assert.deepEqual(events, ofFirst);
  });

  Deno.test(`[RS1] ${name}: a page starts after the cursor and tells how far the log goes`, async () => {
    const { store } = await make({ maxEvents: 100 });
    await store.create(record("s1"));
    assert.deepEqual(await store.read("s1", { afterSeq: 0, limit: 10 }), {
      events: [],
      oldestSeq: 1,
      lastSeq: 0,
    });
    await store.append("s1", Array.from({ length: 20 }, (_, index) => query(`q${index}`)));
    const page = await store.read("s1", { afterSeq: 5, limit: 10 });
    assert.deepEqual(page.events.map(({ seq }) => seq), [6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
    assert.deepEqual([page.oldestSeq, page.lastSeq], [1, 20]);
    assert.deepEqual((await store.read("s1", { afterSeq: 20, limit: 10 })).events, []);
    assert.deepEqual((await store.read("s1", { afterSeq: 99, limit: 10 })).events, []);
    assert.deepEqual((await store.read("s1", { afterSeq: 0, limit: 0 })).events, []);
  });

  Deno.test(`[RS2] ${name}: the oldest events go past the cap, and the page says so`, async () => {
    const { store } = await make({ maxEvents: 5 });
    await store.create(record("s1"));
    for (let n = 0; n < 12; n++) await store.append("s1", [query(`q${n}`)]);
    const { events, oldestSeq, lastSeq } = await store.read("s1", { afterSeq: 0, limit: 100 });
    assert.deepEqual(events.map(({ seq }) => seq), [8, 9, 10, 11, 12]);
    assert.deepEqual([oldestSeq, lastSeq], [8, 12]);
  });

  Deno.test(`[CM1] ${name}: a user's sessions are listed newest first, and only theirs`, async () => {
    const { store } = await make({ maxEvents: 5 });
    for (let n = 1; n <= 5; n++) await store.create(record(`s${n}`, ANN, n));
    await store.create(record("bob's", { kind: "user", userId: "bob" }, 9));
    await store.create(record("nobody's", TOKEN, 9));
    assert.deepEqual((await store.list("ann", 3)).map(({ sessionId }) => sessionId), ["s5", "s4", "s3"]);
    assert.deepEqual(await store.list("carl", 3), []);
  });

  Deno.test(`[FB2] ${name}: feedback counts once by its id`, async () => {
    const { store } = await make({ maxEvents: 5 });
    await store.create(record("s1"));
    const feedback = { id: "f", turnId: "t", comment: "good", rating: 1 as const };
    assert.deepEqual(await store.recordFeedback("s1", feedback), { repeated: false });
    assert.deepEqual(await store.recordFeedback("s1", feedback), { repeated: true });
    assert.deepEqual(await store.recordFeedback("s1", { ...feedback, id: "g" }), { repeated: false });
  });

  Deno.test(`[CM4] ${name}: what was removed is as if it never was`, async () => {
    const { store } = await make({ maxEvents: 5 });
    await store.create(record("s1"));
    await store.append("s1", [query("q")]);
    await store.remove("s1");
    await store.remove("s1");
    assert.equal(await store.find("s1", [ANN]), undefined);
    assert.deepEqual(await store.list("ann", 5), []);
    await assert.rejects(() => store.append("s1", [query("r")]), { code: "store_unavailable" });
    await assert.rejects(() => store.read("s1", { afterSeq: 0, limit: 1 }), { code: "store_unavailable" });
  });
}
