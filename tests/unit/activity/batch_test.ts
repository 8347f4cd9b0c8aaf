import assert from "node:assert/strict";
import type { ActivityEvent } from "../../../supabase/functions/_shared/protocol/activity_events.ts";
import { startHub, type TestHub, type TestWatcher } from "./watching.ts";

function say(all: TestHub, sessionId: string): void {
  all.hub.broadcast(all.createSessionEvent({ event: "created", sessionId }));
}

function sessionsOf(events: readonly ActivityEvent[]): unknown[] {
  return events.map(({ data }) => "sessionId" in data ? data.sessionId : undefined);
}

/** The sessions of each frame: a list for a batch. */
function shapeOf({ heard }: TestWatcher): unknown[] {
  return heard.map(({ type, events, data }) => type === "batch" ? sessionsOf(events ?? []) : data?.sessionId);
}

Deno.test("[AC14] with batch_ms the events of a tick come in one frame, in order", () => {
  const all = startHub();
  const watcher = all.watch();
  watcher.say({ action: "subscribe", types: ["session_event"], batch_ms: 50 });
  all.hub.broadcast(all.createSystemEvent({ event: "startup" }));
  say(all, "a");
  all.clock.advance(49);
  say(all, "b");
  assert.deepEqual(watcher.heard, []);
  all.clock.advance(1);
  assert.deepEqual(Object.keys(watcher.heard[0] ?? {}), ["type", "events"]);
  say(all, "c");
  all.clock.advance(50);
  all.clock.advance(500);
  assert.deepEqual(shapeOf(watcher), [["a", "b"], ["c"]]);
});

Deno.test("[AC14] pongs, keepalives and answers are never batched", () => {
  const all = startHub();
  const watcher = all.watch();
  watcher.say({ action: "subscribe", batch_ms: 10_000, ack: true });
  say(all, "a");
  watcher.say({ action: "ping" });
  assert.deepEqual(watcher.types, ["subscribed", "heartbeat"]);
  all.clock.advance(30_000);
  assert.deepEqual(watcher.types, ["subscribed", "heartbeat", "batch", "heartbeat"]);
});

Deno.test("[AC14] a later subscribe changes batch_ms, 0 ends it, and nothing is lost or moved", () => {
  const all = startHub();
  const watcher = all.watch();
  say(all, "a");
  watcher.say({ action: "subscribe", batch_ms: 50 });
  say(all, "b");
  watcher.say({ action: "subscribe", types: [] });
  say(all, "c");
  watcher.say({ action: "subscribe", batch_ms: 100 });
  say(all, "d");
  all.clock.advance(99);
  say(all, "e");
  watcher.say({ action: "subscribe", batch_ms: 0 });
  say(all, "f");
  watcher.say({ action: "subscribe", batch_ms: 20 });
  say(all, "g");
  watcher.say({ action: "subscribe", types: ["load_change"] });
  say(all, "not wanted");
  assert.deepEqual(shapeOf(watcher), ["a", ["b", "c"], ["d", "e"], "f", ["g"]]);
  watcher.say({ action: "unsubscribe", types: ["load_change"] });
  say(all, "h");
  all.clock.advance(20);
  assert.deepEqual(shapeOf(watcher).at(-1), ["h"]);
  assert.equal(all.clock.pending, 1, "but for the keepalive no timer is left");
});

Deno.test("[AC14] watchers of the same kind share a tick, and joining or leaving it changes nothing for the others", () => {
  const all = startHub();
  const [one, two, three] = [all.watch(), all.watch(), all.watch()];
  const join = { action: "subscribe", types: ["session_event"], batch_ms: 50 };
  for (const watcher of [one, two]) watcher.say(join);
  say(all, "a");
  all.clock.advance(20);
  three.say(join);
  say(all, "b");
  two.say({ action: "subscribe", batch_ms: 0 });
  say(all, "c");
  assert.deepEqual([one, two].map(shapeOf), [[], [["a", "b"], "c"]]);
  all.clock.advance(30);
  assert.deepEqual(shapeOf(one), [["a", "b", "c"]]);
  assert.deepEqual(shapeOf(three), ["a", ["b", "c"]]);
  say(all, "d");
  one.vanish();
  three.vanish();
  all.clock.advance(50);
  assert.deepEqual([one, two, three].map((watcher) => shapeOf(watcher).at(-1)), [
    ["a", "b", "c"],
    "d",
    ["b", "c"],
  ]);
});

Deno.test("[AC14] one who joined late is shown all of the next tick", () => {
  const all = startHub();
  const [one, two] = [all.watch(), all.watch()];
  one.say({ action: "subscribe", batch_ms: 50 });
  for (const session of ["a", "b"]) say(all, session);
  two.say({ action: "subscribe", batch_ms: 50 });
  say(all, "c");
  all.clock.advance(50);
  say(all, "d");
  all.clock.advance(50);
  assert.deepEqual(shapeOf(one), [["a", "b", "c"], ["d"]]);
  assert.deepEqual(shapeOf(two), ["a", "b", ["c"], ["d"]]);
});

Deno.test("[AC14] what one subscribes to changes nothing for those who wanted the same", () => {
  const all = startHub();
  const [one, two] = [all.watch(), all.watch()];
  for (const watcher of [one, two]) {
    watcher.say({ action: "subscribe", types: ["load_change"], batch_ms: 50 });
  }
  one.say({ action: "subscribe", types: ["session_event"] });
  say(all, "a");
  all.clock.advance(50);
  assert.deepEqual([one, two].map(shapeOf), [[["a"]], []]);
});

Deno.test("[AC14] one who joins late and hears nothing new gets no empty batch", () => {
  const all = startHub();
  const [one, two] = [all.watch(), all.watch()];
  one.say({ action: "subscribe", batch_ms: 50 });
  say(all, "a");
  two.say({ action: "subscribe", batch_ms: 50 });
  all.clock.advance(50);
  assert.deepEqual(shapeOf(two), ["a"]);
  two.vanish();
  say(all, "b");
  one.vanish();
  assert.equal(all.clock.pending, 0);
});

Deno.test("[AC14] a batch is bounded: it goes out before it would be too large", () => {
  const all = startHub({}, { maxBufferedBytes: 1000 });
  const watcher = all.watch();
  watcher.say({ action: "subscribe", batch_ms: 10_000 });
  for (let index = 0; index < 100; index++) say(all, String(index));
  // About 112 units per event, and 1,000 per batch.
  assert.ok(watcher.texts.length > 8 && watcher.texts.length < 20);
  assert.ok(watcher.texts.every((text) => text.length < 1100));
  say(all, "x".repeat(5000));
  all.clock.advance(10_000);
  assert.deepEqual(sessionsOf(watcher.events), [
    ...Array.from({ length: 100 }, (_, index) => String(index)),
    "x".repeat(5000),
  ]);
  assert.equal(watcher.closed, undefined);
});

Deno.test("[AC14] batch_ms is a number from 0 up, rounded up, and at most 10 seconds", () => {
  const { watch } = startHub();
  const watcher = watch();
  for (const batch_ms of [0.2, 1e9, -5, "7", null, 33]) {
    watcher.say({ action: "subscribe", batch_ms, ack: true });
  }
  assert.deepEqual(watcher.heard.map(({ data }) => data?.batch_ms), [1, 10_000, 10_000, 10_000, 10_000, 33]);
});

Deno.test("[AC8] [AC14] what was gathered goes out before the hub closes", () => {
  const all = startHub();
  const watcher = all.watch();
  watcher.say({ action: "subscribe", batch_ms: 50 });
  say(all, "a");
  all.hub.close();
  assert.deepEqual(shapeOf(watcher), [["a"]]);
  assert.equal(watcher.closed?.code, 1001);
  assert.equal(all.clock.pending, 0);
});

Deno.test("[AC15] subscribe with ack is answered by what is in force, and what was no type", () => {
  const { watch } = startHub();
  const watcher = watch();
  watcher.say({
    action: "subscribe",
    types: ["load_change", "nope", 7, "session_event"],
    batch_ms: 50,
    ack: true,
  });
  watcher.say({ action: "subscribe", types: ["heartbeat"], ack: true });
  watcher.say({ action: "subscribe", ack: true });
  watcher.say({ action: "subscribe", types: ["system_event"], ack: false });
  watcher.say({ action: "subscribe", types: "load_change", batch_ms: 33, ack: true });
  const timestamp = "2025-01-01T00:00:00.000Z";
  const types = ["load_change", "session_event"];
  assert.deepEqual(watcher.heard, [
    { type: "subscribed", timestamp, data: { types, unknown: ["nope", 7], batch_ms: 50 } },
    { type: "subscribed", timestamp, data: { types: [...types, "heartbeat"], unknown: [], batch_ms: 50 } },
    { type: "subscribed", timestamp, data: { types: [...types, "heartbeat"], unknown: [], batch_ms: 50 } },
    {
      type: "subscribed",
      timestamp,
      data: { types: [...types, "heartbeat", "system_event"], unknown: [], batch_ms: 33 },
    },
  ]);
});
