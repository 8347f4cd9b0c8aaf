/** Behaviour that the original did not have. */

import assert from "node:assert/strict";
import { filterKey, passes } from "../../../supabase/functions/_shared/activity/watch_filter.ts";
import { OnDemand } from "../../../supabase/functions/_shared/on_demand.ts";
import {
  type DecodeAction,
  decodeAction,
} from "../../../supabase/functions/_shared/protocol/activity_actions.ts";
import type { ActivityEvent } from "../../../supabase/functions/_shared/protocol/activity_events.ts";
import { settle } from "../../support/manual_clock.ts";
import { startHub, type TestHub } from "./watching.ts";

/** An event that differs from its neighbours. */
function numbered({ createReasoningUpdateEvent }: TestHub, index: number): ActivityEvent {
  return createReasoningUpdateEvent({ sessionId: `s${index}`, stage: "thinking", progress: 0.1 });
}

Deno.test("[AC6] an undefined maximum is the default, and 0 is none", () => {
  for (const [maxClients, admitted] of [[undefined, 100], [0, 150], [3, 3]]) {
    const { hub, watch } = startHub({ maxClients });
    for (let count = 0; count < 150; count++) watch();
    assert.equal(hub.getClientCount(), admitted);
  }
});

Deno.test("[AC6] a refused peer that sends garbage harms nothing", () => {
  const all = startHub({ maxClients: 1 });
  const watcher = all.watch();
  const refused = all.watch();
  for (const garbage of ["{", '{"action":"ping"}', new Uint8Array([0xff]).buffer]) refused.say(garbage);
  refused.client.opened();
  refused.client.lost(1006);
  refused.client.lost(0);
  assert.equal(refused.texts.length, 0);
  all.hub.broadcast(numbered(all, 1));
  assert.deepEqual([watcher.types, all.hub.getClientCount()], [["reasoning_update"], 1]);
  assert.match(all.metrics.render([]), /activity_watchers_closed_total\{code="1013"\} 1\n/);
});

Deno.test("[AC3] what a watcher says while the decoder is loaded is done then, as far as 20 frames", async () => {
  const loading = Promise.withResolvers<DecodeAction>();
  const all = startHub({}, { decoder: new OnDemand(() => loading.promise) });
  const [watcher, gone] = [all.watch(), all.watch()];
  for (let count = 0; count < 30; count++) watcher.say({ action: "ping" });
  gone.say({ action: "subscribe", batch_ms: 10 });
  gone.vanish();
  assert.deepEqual(watcher.types, []);
  loading.resolve(decodeAction);
  await settle();
  assert.deepEqual(watcher.types, Array(20).fill("heartbeat"));
  watcher.say({ action: "ping" });
  assert.equal(watcher.types.length, 21);
  all.hub.broadcast(numbered(all, 1));
  assert.equal(gone.texts.length, 1, "its welcome");
});

Deno.test("[AC5] where the decoder cannot be loaded the log says so, and nothing else is harmed", async () => {
  const { watch, logged, hub } = startHub({}, {
    decoder: new OnDemand<DecodeAction>(() => Promise.reject(new Error("no module"))),
  });
  const watcher = watch();
  watcher.say({ action: "ping" });
  await settle();
  assert.ok(logged.some(({ event, level }) => event === "activity_frame_failed" && level === "error"));
  assert.equal(hub.getClientCount(), 1);
});

Deno.test("[AC9] who sees all sees all, and a user only what is her own", () => {
  const all = startHub();
  const [operator, ann, bob] = [all.watch(), all.watch({ userId: "ann" }), all.watch({ userId: "bob" })];
  const batched = all.watch({ userId: "ann" });
  batched.say({ action: "subscribe", batch_ms: 10 });
  all.hub.broadcast(numbered(all, 1), { userId: "ann" });
  all.hub.broadcast(numbered(all, 2), { userId: "bob" });
  all.hub.broadcast(numbered(all, 3));
  all.hub.broadcast(numbered(all, 4), { userId: undefined });
  all.clock.advance(10);
  const seen = [operator, ann, bob, batched].map(({ events }) =>
    events.map(({ data }) => "sessionId" in data && data.sessionId)
  );
  assert.deepEqual(seen, [["s1", "s2", "s3", "s4"], ["s1"], ["s2"], ["s1"]]);
});

Deno.test("[AC9] whose an event is is not in it", () => {
  const all = startHub();
  const operator = all.watch();
  all.hub.broadcast(numbered(all, 1), { userId: "ann" });
  assert.ok(!operator.texts.join().includes("ann"));
});

Deno.test("[AC11] 100 watchers get 10,000 events each in order, each encoded once", () => {
  const all = startHub();
  const direct = Array.from({ length: 50 }, () => all.watch());
  const batched = Array.from({ length: 50 }, () => all.watch());
  for (const watcher of batched) watcher.say({ action: "subscribe", batch_ms: 20 });
  let encoded = 0;
  for (let index = 0; index < 10_000; index++) {
    const event = numbered(all, index);
    all.hub.broadcast(Object.assign(event, { toJSON: (): unknown => (encoded++, { ...event }) }));
    if (index % 100 === 99) all.clock.advance(20);
  }
  assert.equal(encoded, 10_000);
  const [one] = direct;
  const [other] = batched;
  assert.ok(one && other);
  const order = (events: ActivityEvent[]): boolean =>
    events.every(({ data }, index) => "sessionId" in data && data.sessionId === `s${index}`);
  assert.ok(one.events.length === 10_000 && order(one.events));
  assert.ok(other.events.length === 10_000 && order(other.events));
  for (const watcher of direct) assert.deepEqual(watcher.texts.slice(1), one.texts.slice(1));
  for (const watcher of batched) assert.deepEqual(watcher.texts.slice(1), other.texts.slice(1));
});

Deno.test("[AC11] a watcher that stops reading is closed 3008, and the others are shown everything", () => {
  const all = startHub({}, { maxBufferedBytes: 2000 });
  const [first, stalled, stalledInBatches, last] = [all.watch(), all.watch(), all.watch(), all.watch()];
  stalledInBatches.say({ action: "subscribe", batch_ms: 10 });
  stalled.isStalled = stalledInBatches.isStalled = true;
  for (let index = 0; index < 1000; index++) {
    all.hub.broadcast(numbered(all, index));
    all.clock.advance(1);
  }
  for (const watcher of [stalled, stalledInBatches]) {
    assert.deepEqual(watcher.closed, { code: 3008, reason: "Slow consumer" });
    assert.ok(watcher.bufferedAmount <= 2000 && watcher.bufferedAmount > 1000);
  }
  assert.deepEqual([first.events.length, last.events.length], [1000, 1000]);
  assert.equal(all.hub.getClientCount(), 2);
});

Deno.test("[AC11] one that asks and does not read is closed as well", () => {
  const { watch } = startHub({}, { maxBufferedBytes: 2000 });
  const stalled = watch();
  stalled.isStalled = true;
  for (let count = 0; count < 1000; count++) stalled.say({ action: "ping" });
  assert.equal(stalled.closed?.code, 3008);
  assert.ok(stalled.bufferedAmount <= 2000);
});

Deno.test("[AC12] an event that cannot be encoded never reaches the caller: it is logged, counted and dropped", () => {
  const all = startHub();
  const [one, batched] = [all.watch(), all.watch()];
  batched.say({ action: "subscribe", batch_ms: 10 });
  const circular: Record<string, unknown> = {};
  circular.self = circular;
  const throwing = {
    toJSON(): never {
      throw new Error("no");
    },
  };
  const bad = [
    { type: "system_event", timestamp: "", data: circular },
    { type: "system_event", timestamp: "", data: { event: 1n } },
    { type: "system_event", timestamp: "", data: throwing },
    {
      get type(): string {
        throw new Error("no");
      },
    },
    () => {},
    undefined,
    null,
  ];
  for (const event of bad) all.hub.broadcast(event as ActivityEvent);
  all.hub.broadcast(numbered(all, 1));
  all.clock.advance(10);
  assert.deepEqual([one.events.length, batched.events.length], [1, 1]);
  const failures = all.logged.filter(({ event }) => event === "activity_event_failed");
  assert.equal(failures.length, bad.length);
  assert.ok(failures.every(({ level, error }) => level === "error" && error instanceof Error));
  assert.match(all.metrics.render([]), new RegExp(`activity_events_failed_total ${bad.length}\n`));
});

Deno.test("[AC13] timers run from the first watcher to the last, and start again with the next", () => {
  const { hub, watch, dial, clock } = startHub({}, { isPinged: false });
  assert.equal(clock.pending, 0);
  const waiting = dial();
  assert.equal(clock.pending, 0);
  const started: string[] = [];
  hub.whileWatched(() => {
    started.push("start");
    return () => void started.push("end");
  });
  for (let times = 1; times <= 2; times++) {
    const [one, two] = [watch(), watch()];
    assert.equal(clock.pending, 2);
    one.vanish();
    one.client.lost(0);
    assert.equal(clock.pending, 2);
    two.vanish();
    assert.equal(clock.pending, 0);
    assert.deepEqual(started, Array(times).fill(["start", "end"]).flat());
  }
  waiting.client.lost(1006);
  watch();
  hub.whileWatched(() => {
    started.push("at once");
    return () => {};
  });
  assert.deepEqual(started.slice(-2), ["start", "at once"]);
});

Deno.test("[AC13] a keepalive that closes the last watcher leaves no timer behind", () => {
  const { hub, watch, clock } = startHub({}, { maxBufferedBytes: 10 });
  const stalled = watch();
  stalled.bufferedAmount = 10;
  clock.advance(30_000);
  assert.equal(stalled.closed?.code, 3008);
  assert.deepEqual([hub.isWatched, clock.pending], [false, 0]);
});

Deno.test("a socket that opens or is lost twice does so once", () => {
  const { hub, watch, metrics } = startHub();
  const watcher = watch();
  watcher.client.opened();
  assert.deepEqual([watcher.texts.length, hub.getClientCount()], [1, 1]);
  watcher.client.lost(1006);
  watcher.client.lost(0);
  watcher.client.opened();
  assert.equal(hub.getClientCount(), 0);
  const text = metrics.render([]);
  assert.match(text, /activity_watchers_opened_total 1\n/);
  assert.match(text, /activity_watchers_closed_total\{code="1006"\} 1\n/);
  assert.ok(!text.includes('code="0"'));
});

Deno.test("[AC13] an event that nobody is shown is not encoded", () => {
  const all = startHub();
  let encoded = 0;
  const event = { ...numbered(all, 1), toJSON: (): unknown => (encoded++, {}) };
  all.hub.broadcast(event);
  const [bob, other] = [all.watch({ userId: "bob" }), all.watch()];
  other.say({ action: "subscribe", types: ["load_change"], batch_ms: 5 });
  all.hub.broadcast(event, { userId: "ann" });
  assert.deepEqual([encoded, bob.heard], [0, []]);
});

Deno.test("[AC16] when its token ends a watcher is told so and closed", () => {
  const all = startHub();
  const expiresAt = all.clock.now() + 60_000;
  const [ann, gone, expired] = [
    all.watch({ userId: "ann" }, expiresAt),
    all.watch({ userId: "ann" }, expiresAt),
    all.watch({ userId: "ann" }, expiresAt - 120_000),
  ];
  const timers = all.clock.pending;
  gone.vanish();
  assert.equal(all.clock.pending, timers - 1);
  all.clock.advance(0);
  assert.equal(expired.closed?.code, 4001);
  all.clock.advance(59_999);
  assert.equal(ann.closed, undefined);
  all.clock.advance(1);
  assert.deepEqual(ann.closed, { code: 4001, reason: "Token expired" });
  assert.deepEqual([ann.heard.at(-1)?.type, ann.heard.at(-1)?.code], ["error", "unauthorized"]);
  assert.deepEqual([all.clock.pending, gone.closed], [0, undefined]);
});

Deno.test("filterKey is the same exactly for filters that pass the same", () => {
  const types = new Set(["load_change", "heartbeat"] as const);
  const sameTypes = new Set(["heartbeat", "load_change"] as const);
  assert.equal(filterKey({ sees: "all", types }), filterKey({ sees: "all", types: sameTypes }));
  const keys = [
    filterKey({ sees: "all", types: new Set() }),
    filterKey({ sees: "all", types }),
    filterKey({ sees: { userId: "heartbeat" }, types: new Set(["load_change"]) }),
    filterKey({ sees: { userId: "all" }, types: new Set() }),
    filterKey({ sees: { userId: "null" }, types: new Set() }),
    filterKey({ sees: { userId: 'a","heartbeat' }, types: new Set() }),
    filterKey({ sees: { userId: "a" }, types: new Set(["heartbeat"]) }),
  ];
  assert.equal(new Set(keys).size, keys.length);
  assert.ok(!passes({ sees: { userId: "anonymous" }, types: new Set() }, "heartbeat"));
});
