/** The behaviour of the original handler, frame by frame and close code by close code. */

import assert from "node:assert/strict";
import { DEFAULT_ACTIVITY_CONFIG } from "../../../supabase/functions/_shared/activity/activity_hub.ts";
import type { ActivityEvent } from "../../../supabase/functions/_shared/protocol/activity_events.ts";
import { startHub } from "./watching.ts";

const NOW = "2025-01-01T00:00:00.000Z";
const SESSION = { event: "created", sessionId: "s1", userId: "ann" } as const;
const MEMORY = { operation: "store", userId: "ann", success: true } as const;
const REASONING = { sessionId: "s1", stage: "thinking", progress: 0.1 };
const SYSTEM = { event: "startup", status: "ok" } as const;

Deno.test("[AC1] the first frame says as whom one is connected", () => {
  const { hub, watch, dial } = startHub();
  const waiting = dial();
  assert.deepEqual([waiting.texts.length, hub.getClientCount(), hub.getIsRunning()], [0, 0, false]);
  const [one, two] = [watch(), watch()];
  const ids = hub.getClientInfo().map(({ clientId }) => clientId);
  assert.equal(new Set(ids).size, 2);
  for (const [index, watcher] of [one, two].entries()) {
    assert.deepEqual(watcher.frames, [
      { type: "connection_established", timestamp: NOW, data: { message: `Connected as ${ids[index]}` } },
    ]);
    assert.match(String(ids[index]), /^ws-[0-9a-f-]{36}$/);
  }
  assert.equal(hub.getIsRunning(), true);
});

Deno.test("[AC2] without a subscription every event comes, as it was given", () => {
  const {
    hub,
    watch,
    createLoadChangeEvent,
    createMemoryOperationEvent,
    createReasoningUpdateEvent,
    createSessionEvent,
    createSystemEvent,
  } = startHub();
  const watcher = watch();
  const load = {
    loadLevel: 0.5,
    activeProcesses: 3,
    memoryOpsPerSecond: 1.5,
    reasoningSessions: 9,
    visualIntensity: "medium",
  } as const;
  const events: ActivityEvent[] = [
    createMemoryOperationEvent({ ...MEMORY, memoryId: "m", sector: "semantic", duration: 3 }),
    createReasoningUpdateEvent({ ...REASONING, activeStreams: ["a"], mode: "analytical" }),
    createLoadChangeEvent(load),
    createSessionEvent(SESSION),
    createSystemEvent({ ...SYSTEM, message: "up" }),
    { type: "heartbeat", timestamp: NOW, data: { message: "mine" } },
    { type: "connection_established", timestamp: NOW, data: { message: "mine too" } },
  ];
  for (const event of events) hub.broadcast(event);
  assert.deepEqual(watcher.heard, events);
  assert.deepEqual(watcher.texts.slice(1), events.map((event) => JSON.stringify(event)));
});

Deno.test("[AC2] subscribe adds types that exist, unsubscribe removes them, and none left means all", () => {
  const { hub, watch, createSessionEvent, createSystemEvent } = startHub();
  const watcher = watch();
  const both = (): void => {
    hub.broadcast(createSessionEvent(SESSION));
    hub.broadcast(createSystemEvent(SYSTEM));
  };
  const subscribed = (): string[] | undefined => hub.getClientInfo()[0]?.subscribedTypes;
  const heard = (say: Record<string, unknown>): string[] => {
    const before = watcher.texts.length;
    watcher.say(say);
    both();
    return watcher.frames.slice(before).map(({ type }) => type);
  };
  const all = ["session_event", "system_event"];
  assert.deepEqual(heard({ action: "subscribe", types: ["nope", 7, null, {}] }), all);
  assert.deepEqual(heard({ action: "subscribe", types: ["session_event", "nope"] }), ["session_event"]);
  assert.deepEqual(subscribed(), ["session_event"]);
  assert.deepEqual(heard({ action: "subscribe", types: ["system_event", "session_event"] }), all);
  assert.deepEqual(subscribed(), all);
  assert.deepEqual(heard({ action: "unsubscribe", types: ["session_event", "nope", 7] }), ["system_event"]);
  assert.deepEqual(heard({ action: "unsubscribe", types: ["system_event"] }), all);
  assert.deepEqual(subscribed(), []);
  assert.deepEqual(heard({ action: "subscribe", types: ["heartbeat"] }), []);
});

Deno.test("[AC3] ping is answered by a pong, whatever is subscribed to", () => {
  const { watch } = startHub();
  const watcher = watch();
  watcher.say({ action: "subscribe", types: ["session_event"] });
  watcher.say({ action: "ping" });
  watcher.say(new TextEncoder().encode('{"action":"ping","extra":1}').buffer);
  const pong = { type: "heartbeat", timestamp: NOW, data: { message: "pong" } };
  assert.deepEqual(watcher.heard, [pong, pong]);
});

Deno.test("[AC4] a keepalive goes to everyone, a heartbeat that is broadcast only to those who want it", () => {
  const { hub, watch, clock } = startHub();
  const [all, some] = [watch(), watch({ userId: "ann" })];
  some.say({ action: "subscribe", types: ["session_event"] });
  hub.broadcast({ type: "heartbeat", timestamp: NOW, data: { message: "mine" } });
  clock.advance(29_999);
  assert.deepEqual([all.types, some.types], [["heartbeat"], []]);
  clock.advance(1);
  const keepalive = {
    type: "heartbeat",
    timestamp: "2025-01-01T00:00:30.000Z",
    data: { message: "keepalive" },
  };
  assert.deepEqual(all.heard[1], keepalive);
  assert.deepEqual(some.heard, [keepalive]);
  clock.advance(60_000);
  assert.equal(some.heard.length, 3);
});

Deno.test("[AC5] what makes no sense is ignored, but shows that somebody is there", () => {
  const { hub, watch, clock, createSessionEvent } = startHub({ clientTimeoutMs: 1000 }, { isPinged: false });
  const watcher = watch();
  const nonsense = [
    "",
    "{",
    "null",
    "1",
    '"ping"',
    "[]",
    '["ping"]',
    "{}",
    '{"action":null}',
    '{"action":"dance"}',
    '{"action":"Ping"}',
    '{"action":["ping"]}',
    '{"action":"subscribe"}',
    '{"action":"subscribe","types":"session_event"}',
    '{"action":"subscribe","types":{"0":"session_event"}}',
    '{"action":"unsubscribe"}',
    '{"action":"unsubscribe","types":null}',
    '{"action":"subscribe","batch_ms":-1}',
    '{"action":"subscribe","batch_ms":"50","ack":"true"}',
    '{"action":"ping","padding":"' + "x".repeat(65_536) + '"}',
    new Uint8Array([0xff, 0xfe]).buffer,
    new ArrayBuffer(0),
  ];
  for (const each of nonsense) {
    clock.advance(900);
    watcher.say(each);
    assert.deepEqual([watcher.texts.length, watcher.closed], [1, undefined], String(each));
  }
  hub.broadcast(createSessionEvent(SESSION));
  assert.deepEqual(watcher.types, ["session_event"]);
  clock.advance(2000);
  assert.deepEqual(watcher.closed, { code: 1000, reason: "Connection closed" });
});

Deno.test("[AC6] over the maximum one is closed 1013 without a word, and there is room again when another leaves", () => {
  const { hub, watch, logged } = startHub({ maxClients: 2 });
  const [one, two, three] = [watch(), watch(), watch()];
  assert.deepEqual(three.closed, { code: 1013, reason: "Maximum clients reached" });
  assert.deepEqual([three.texts.length, hub.getClientCount()], [0, 2]);
  assert.ok(logged.some(({ event, level }) => event === "activity_watcher_refused" && level === "warn"));
  two.vanish();
  assert.equal(watch().closed, undefined);
  assert.equal(one.closed, undefined);
});

Deno.test("[AC7] where the runtime does not ping, silence for too long is closed 1000", () => {
  const { hub, watch, clock } = startHub({}, { isPinged: false });
  const [silent, talking] = [watch(), watch()];
  for (let minute = 0; minute < 2; minute++) {
    clock.advance(60_000);
    talking.say({ action: "ping" });
  }
  assert.equal(silent.closed, undefined, "a timeout's length is not too long");
  clock.advance(60_000);
  assert.deepEqual(silent.closed, { code: 1000, reason: "Connection closed" });
  assert.deepEqual([talking.closed, hub.getClientCount()], [undefined, 1]);
});

Deno.test("[AC7] where it pings, silence is no reason", () => {
  const { watch, clock } = startHub();
  const silent = watch();
  clock.advance(24 * 3_600_000);
  assert.equal(silent.closed, undefined);
});

Deno.test("[AC8] the end of the hub closes everyone 1001 and leaves nothing behind", () => {
  const { hub, watch, dial, clock, createSessionEvent } = startHub({}, { isPinged: false });
  const [one, two, late] = [watch(), watch(), dial()];
  hub.close();
  hub.close();
  for (const watcher of [one, two]) {
    assert.deepEqual(watcher.closed, { code: 1001, reason: "Server shutting down" });
  }
  assert.deepEqual([hub.getIsRunning(), hub.getClientCount(), hub.getClientInfo()], [false, 0, []]);
  assert.equal(clock.pending, 0);
  hub.broadcast(createSessionEvent(SESSION));
  late.client.opened();
  assert.deepEqual([late.closed?.code, late.texts.length], [1001, 0]);
  one.client.lost(1001);
  one.say({ action: "ping" });
  assert.equal(watch().frames[0]?.type, "connection_established", "the next watcher starts it again");
  assert.equal(hub.getIsRunning(), true);
});

Deno.test("[AC8] a hub that nobody watched can be closed", () => {
  const { hub, clock } = startHub();
  hub.close();
  assert.deepEqual([hub.getIsRunning(), clock.pending], [false, 0]);
});

Deno.test("getClientInfo tells who watches since when", () => {
  const { hub, watch, clock } = startHub();
  watch();
  clock.advance(5);
  watch().say({ action: "subscribe", types: ["load_change"] });
  assert.deepEqual(hub.getClientInfo().map(({ clientId: _, ...rest }) => rest), [
    { connectedAt: new Date(NOW), subscribedTypes: [] },
    { connectedAt: new Date("2025-01-01T00:00:00.005Z"), subscribedTypes: ["load_change"] },
  ]);
});

Deno.test("the defaults are the original's", () => {
  assert.deepEqual(DEFAULT_ACTIVITY_CONFIG, {
    path: "/api/v1/activity/live",
    heartbeatIntervalMs: 30_000,
    clientTimeoutMs: 120_000,
    maxClients: 100,
  });
});
