import assert from "node:assert/strict";
import {
  type Intensity,
  loadLevel,
  LoadMeter,
  type LoadReading,
  Rate,
  stepIntensity,
} from "../../../supabase/functions/_shared/activity/load_meter.ts";
import { startHub, type TestHub } from "./watching.ts";

const IDLE: LoadReading = { runningTurns: 0, sessions: 0, commitsPerSecond: 0 };

/** A meter whose reading a test sets. */
function startMeter(): TestHub & { now: { reading: LoadReading } } {
  const all = startHub();
  const now = { reading: IDLE };
  const meter = new LoadMeter({ clock: all.clock, sink: all.hub, read: () => now.reading });
  all.hub.whileWatched(() => meter.start());
  return { ...all, now };
}

/** A reading with this load, in which all three parts are equal. */
function readingFor(load: number): LoadReading {
  return { runningTurns: 20 * load, sessions: 1000 * load, commitsPerSecond: 50 * load };
}

Deno.test("[AC20] the load is the documented sum", () => {
  const cases: [LoadReading, number][] = [
    [IDLE, 0],
    [{ ...IDLE, runningTurns: 10 }, 0.3],
    [{ ...IDLE, runningTurns: 20 }, 0.6],
    [{ ...IDLE, runningTurns: 999 }, 0.6],
    [{ ...IDLE, sessions: 500 }, 0.1],
    [{ ...IDLE, sessions: 5000 }, 0.2],
    [{ ...IDLE, commitsPerSecond: 25 }, 0.1],
    [{ ...IDLE, commitsPerSecond: 1e9 }, 0.2],
    [{ runningTurns: 20, sessions: 1000, commitsPerSecond: 50 }, 1],
  ];
  for (const [reading, load] of cases) assert.ok(Math.abs(loadLevel(reading) - load) < 1e-12);
  assert.ok(loadLevel({ runningTurns: 1e9, sessions: 1e9, commitsPerSecond: 1e9 }) <= 1);
});

Deno.test("[AC20] intensity rises at a threshold and falls 0.05 below it", () => {
  const table: [Intensity, number, Intensity][] = [
    ["low", 0.399, "low"],
    ["low", 0.4, "medium"],
    ["low", 0.7, "high"],
    ["medium", 0.351, "medium"],
    ["medium", 0.349, "low"],
    ["medium", 0.699, "medium"],
    ["medium", 0.7, "high"],
    ["high", 0.651, "high"],
    ["high", 0.649, "medium"],
    ["high", 0.351, "medium"],
    ["high", 0.349, "low"],
    ["high", 0, "low"],
  ];
  for (const [before, load, after] of table) assert.equal(stepIntensity(before, load), after);
});

Deno.test("[AC20] load_change comes where the intensity changes, and only then", () => {
  const { now, watch, clock } = startMeter();
  const watcher = watch();
  for (const load of [0.1, 0.39, 0.41, 0.55, 0.36, 0.41, 0.34, 0.36, 0.39, 0.75, 0.66, 0.71, 0.64, 0.1, 0]) {
    now.reading = readingFor(load);
    clock.advance(1000);
  }
  assert.deepEqual(watcher.heard.map(({ data }) => data?.visualIntensity), [
    "medium",
    "low",
    "high",
    "medium",
    "low",
  ]);
});

Deno.test("[AC20] its data are what the load was made of", () => {
  const { now, watch, clock } = startMeter();
  const watcher = watch();
  now.reading = { runningTurns: 10, sessions: 1000, commitsPerSecond: 12.5 };
  clock.advance(1000);
  assert.deepEqual(watcher.heard, [{
    type: "load_change",
    timestamp: "2025-01-01T00:00:01.000Z",
    data: {
      loadLevel: 0.55,
      activeProcesses: 10,
      memoryOpsPerSecond: 12.5,
      reasoningSessions: 1000,
      visualIntensity: "medium",
    },
  }]);
});

Deno.test("[AC20] it is nobody's own, is looked at only while somebody watches, and a busy worker is told anew", () => {
  const { now, watch, clock } = startMeter();
  now.reading = readingFor(0.9);
  clock.advance(10_000);
  assert.equal(clock.pending, 0);
  for (let times = 0; times < 2; times++) {
    const [ann, operator] = [watch({ userId: "ann" }), watch()];
    clock.advance(5000);
    assert.deepEqual([ann.types, operator.types], [[], ["load_change"]]);
    ann.vanish();
    operator.vanish();
    assert.equal(clock.pending, 0);
  }
});

Deno.test("[AC20] commits a second are counted from one look to the next", () => {
  const { clock } = startHub();
  let total = 7;
  const rate = new Rate(clock, () => total);
  assert.equal(rate.perSecond(), 0);
  total += 30;
  clock.advance(2000);
  assert.equal(rate.perSecond(), 15);
  assert.equal(rate.perSecond(), 0);
  clock.advance(1000);
  assert.equal(rate.perSecond(), 0);
});

Deno.test("[AC20] what was committed before anybody watched is no load", () => {
  const { hub, watch, clock } = startHub();
  let total = 0;
  const rate = new Rate(clock, () => total);
  const meter = new LoadMeter({
    clock,
    sink: hub,
    read: () => ({ runningTurns: 20, sessions: 1000, commitsPerSecond: rate.perSecond() }),
  });
  hub.whileWatched(() => meter.start());
  clock.advance(1000);
  total += 1_000_000;
  const watcher = watch();
  clock.advance(1000);
  assert.deepEqual(watcher.heard.map(({ data }) => data?.memoryOpsPerSecond), [0]);
});
