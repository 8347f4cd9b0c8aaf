import assert from "node:assert/strict";
import { jsonLog, systemClock } from "../../../supabase/functions/_shared/platform/system.ts";
import { captureConsole } from "../../support/capture_console.ts";

Deno.test("a delay longer than setTimeout can hold is waited for in parts", () => {
  using timers = fakeTimers();
  let runs = 0;
  systemClock().after(2 * 2_147_483_647 + 5, () => runs++);
  const delays: (number | undefined)[] = [];
  for (let timer = timers.waiting.shift(); timer !== undefined; timer = timers.waiting.shift()) {
    assert.equal(runs, 0);
    delays.push(timer.delayMs);
    timer.task();
  }
  assert.deepEqual([delays, runs], [[2_147_483_647, 2_147_483_647, 5], 1]);
});

Deno.test("a long delay can be cancelled in any of its parts", () => {
  using timers = fakeTimers();
  const cancel = systemClock().after(3_000_000_000, () => assert.fail("it was cancelled"));
  timers.waiting.shift()?.task();
  assert.equal(timers.waiting.length, 1);
  cancel();
  assert.equal(timers.waiting.length, 0);
});

Deno.test("an infinite delay never ends, and a negative one is none", () => {
  using timers = fakeTimers();
  const clock = systemClock();
  clock.after(Infinity, () => assert.fail("for ever is over"));
  for (let part = 0; part < 10; part++) timers.waiting.shift()?.task();
  assert.equal(timers.waiting.shift()?.delayMs, 2_147_483_647);
  clock.after(-5, () => {});
  assert.equal(timers.waiting.shift()?.delayMs, 0);
});

Deno.test("the log drops what is below its level", () => {
  const lines: string[] = [];
  const log = jsonLog({ minLevel: "warn", write: (line) => lines.push(line), clock: { now: () => 0 } });
  for (const level of ["debug", "info", "warn", "error"] as const) log.write({ level, event: "tried" });
  assert.deepEqual(lines.map((line) => JSON.parse(line).level), ["warn", "error"]);
});

Deno.test("the log prints by the console method of the level, as Supabase grades by it", () => {
  using captured = captureConsole();
  const log = jsonLog({ minLevel: "debug", clock: { now: () => 0 } });
  for (const level of ["debug", "info", "warn", "error"] as const) log.write({ level, event: "100% %s" });
  assert.deepEqual(
    captured.lines.map(({ method, text }) => [method, JSON.parse(text).event]),
    ["debug", "info", "warn", "error"].map((method) => [method, "100% %s"]),
  );
});

Deno.test("a log that cannot be written throws nothing", () => {
  const log = jsonLog({
    write: () => {
      throw new Error("disk full");
    },
  });
  log.write({ level: "error", event: "tried" });
});

interface FakeTimers extends Disposable {
  readonly waiting: { delayMs: number | undefined; task: () => void; id: number }[];
}

/** Replaces the runtime's timers: nothing fires by itself. */
function fakeTimers(): FakeTimers {
  const { setTimeout, clearTimeout } = globalThis;
  const waiting: FakeTimers["waiting"] = [];
  let ids = 0;
  Object.assign(globalThis, {
    setTimeout: (task: () => void, delayMs?: number): number => {
      waiting.push({ task, delayMs, id: ++ids });
      return ids;
    },
    clearTimeout: (id: number): void => {
      const index = waiting.findIndex((timer) => timer.id === id);
      if (index >= 0) waiting.splice(index, 1);
    },
  });
  return { waiting, [Symbol.dispose]: () => void Object.assign(globalThis, { setTimeout, clearTimeout }) };
}
