import assert from "node:assert/strict";
import { describe, readEvents } from "../../../playground/activity_events.ts";
import { ActivityState } from "../../../playground/activity_state.ts";
import { RateMeter } from "../../../playground/rate_meter.ts";

const timestamp = "2026-11-21T12:00:00.000Z";

function told(state: ActivityState, stage: string, progress: number, now: number, turn = "t1"): void {
  const data = { sessionId: `session of ${turn}`, stage, progress, activeStreams: [turn] };
  state.take({ type: "reasoning_update", timestamp, data }, now);
}

Deno.test("activity: a turn is followed to its end, and shown a little longer", () => {
  const state = new ActivityState();
  told(state, "queued", 0, 0);
  assert.equal(state.load(0).runningTurns, 0);
  told(state, "streaming", 0.5, 1000);
  assert.deepEqual(state.turns(1000).map(({ stage, progress, isEnded }) => [stage, progress, isEnded]), [
    ["streaming", 0.5, false],
  ]);
  assert.equal(state.load(1000).runningTurns, 1);
  told(state, "completed", 1, 2000);
  assert.equal(state.load(2000).runningTurns, 0);
  assert.equal(state.turns(9000).length, 1);
  assert.equal(state.turns(11_000).length, 0);
});

Deno.test("activity: a turn that waits runs nowhere, and its line says what for", () => {
  const state = new ActivityState();
  const data = {
    sessionId: "12345678-9",
    stage: "waiting",
    mode: "approval",
    progress: 0.1,
    activeStreams: ["t1"],
  };
  const event = { type: "reasoning_update", timestamp, data } as const;
  state.take(event, 0);
  assert.equal(state.load(0).runningTurns, 0);
  assert.equal(describe(event), "12345678 waiting approval 10 %");
  told(state, "calling", 0.1, 1000);
  assert.equal(state.load(1000).runningTurns, 1);
});

Deno.test("activity: one that is not heard of any more is dropped, and fifty are the most", () => {
  const state = new ActivityState();
  for (let turn = 0; turn < 60; turn++) told(state, "thinking", 0.1, 0, `t${turn}`);
  assert.equal(state.turns(0).length, 50);
  assert.equal(state.turns(0)[0]?.id, "t59");
  assert.equal(state.turns(121_000).length, 0);
});

Deno.test("activity: while the agent says low the load is reckoned, else it is what the agent told last", () => {
  const state = new ActivityState();
  assert.deepEqual(state.load(0), {
    level: 0,
    intensity: "low",
    isTold: false,
    runningTurns: 0,
    sessions: 0,
    operationsPerSecond: 0,
  });
  told(state, "streaming", 0.2, 0);
  assert.ok(Math.abs(state.load(0).level - (0.6 / 20 + 0.2 / 1000)) < 1e-9);
  for (let turn = 0; turn < 40; turn++) told(state, "streaming", 0.2, 0, `t${turn}`);
  assert.equal(state.load(0).level, 0.4);
  const data = { loadLevel: 0.8, activeProcesses: 20, memoryOpsPerSecond: 9, reasoningSessions: 5 };
  state.take({ type: "load_change", timestamp, data: { ...data, visualIntensity: "high" } }, 0);
  assert.deepEqual([state.load(0).level, state.load(0).intensity, state.load(0).isTold], [0.8, "high", true]);
  state.take(
    { type: "load_change", timestamp, data: { ...data, loadLevel: 0.1, visualIntensity: "low" } },
    0,
  );
  assert.equal(state.load(0).isTold, false);
});

Deno.test("activity: operations are counted for five seconds, sessions until they are deleted", () => {
  const state = new ActivityState();
  const store = { operation: "store", userId: "u", success: true } as const;
  for (let at = 0; at < 10; at++) state.take({ type: "memory_operation", timestamp, data: store }, at * 100);
  assert.equal(state.load(1000).operationsPerSecond, 2);
  assert.equal(state.load(7000).operationsPerSecond, 0);
  state.take({ type: "session_event", timestamp, data: { event: "created", sessionId: "s" } }, 0);
  assert.equal(state.load(0).sessions, 1);
  state.take({ type: "session_event", timestamp, data: { event: "deleted", sessionId: "s" } }, 0);
  assert.equal(state.load(0).sessions, 0);
  state.clear();
  assert.deepEqual(state.turns(0), []);
});

Deno.test("activity: a frame is one event, a batch of them, or nothing to list", () => {
  const event = { type: "system_event", timestamp, data: { event: "startup", status: "ok" } };
  assert.deepEqual(readEvents(JSON.stringify(event)).map(describe), ["startup ok"]);
  const batch = { type: "batch", events: [event, { type: "heartbeat", data: {} }, null, event] };
  assert.deepEqual(readEvents(JSON.stringify(batch)).map(describe), ["startup ok", "startup ok"]);
  assert.deepEqual(readEvents('{"type":"heartbeat"}'), []);
});

Deno.test("rate: amounts are summed by the second, and forgotten after a minute", () => {
  const meter = new RateMeter();
  meter.add(10, 100_000);
  meter.add(5, 100_900);
  meter.add(7, 101_000);
  assert.deepEqual(meter.history(101_500).slice(-3), [0, 15, 7]);
  assert.equal(meter.history(101_500).length, 60);
  assert.equal(Math.max(...meter.history(161_000)), 0);
});
