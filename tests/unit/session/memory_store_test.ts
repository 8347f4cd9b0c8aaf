import assert from "node:assert/strict";
import { MemoryStore } from "../../../supabase/functions/_shared/session/memory_store.ts";
import { cancelled, response } from "../../support/log_events.ts";
import { ManualClock } from "../../support/manual_clock.ts";

Deno.test("[RS2] MemoryStore: a session's text is bounded too, but its newest event stays", async () => {
  const store = new MemoryStore({ clock: new ManualClock(), maxEvents: 1000, maxChars: 100 });
  await store.create({ sessionId: "s", owner: { kind: "user", userId: "ann" }, createdAt: 0 });
  let turns = 0;
  const append = (chars: number): Promise<unknown> =>
    store.commit("s", { events: [response(String(++turns), "x".repeat(chars))] });
  const kept = async (): Promise<number[]> =>
    (await store.read("s", { afterSeq: 0, limit: 99 })).events.map(({ seq }) => seq);
  for (const chars of [40, 40, 40]) await append(chars);
  assert.deepEqual(await kept(), [2, 3]);
  await append(500);
  assert.deepEqual(await kept(), [4]);
  await append(1);
  assert.deepEqual(await kept(), [5]);
});

Deno.test("[FB2] MemoryStore: ids of feedback are bounded", async () => {
  const store = new MemoryStore({ clock: new ManualClock(), maxEvents: 2 });
  await store.create({ sessionId: "s", owner: { kind: "user", userId: "ann" }, createdAt: 0 });
  await store.commit("s", { events: [cancelled("q")] });
  const say = async (id: string): Promise<boolean> =>
    (await store.recordFeedback("s", { id, turnId: "t-q", comment: "" })).repeated;
  for (const id of ["a", "b", "c"]) assert.equal(await say(id), false);
  assert.equal(await say("c"), true);
  assert.equal(await say("a"), false);
});
