import assert from "node:assert/strict";
import { killParts, type Part, stopParts } from "../../chaos/stopping.ts";
import { ManualClock, settle } from "../../support/manual_clock.ts";

Deno.test("stopParts: the last that was started stops first, one after the other", async () => {
  const said: string[] = [];
  const part = (name: string): Part => ({
    name,
    stop: async () => {
      said.push(`${name} stops`);
      await Promise.resolve();
      said.push(`${name} has stopped`);
    },
    kill: () => void said.push(`${name} is killed`),
  });
  const clock = new ManualClock();
  const left = await stopParts([part("database"), part("stack")], { clock, withinMs: 1000 });
  assert.deepEqual(left, []);
  assert.deepEqual(said, [
    "stack stops",
    "stack has stopped",
    "database stops",
    "database has stopped",
  ]);
  assert.equal(clock.pending, 0);
});

Deno.test("stopParts: what never stops, or cannot, is named and killed, and the others stop all the same", async () => {
  const clock = new ManualClock();
  const killed: string[] = [];
  const parts: Part[] = [
    { name: "log", stop: () => {} },
    { name: "database", stop: () => new Promise(() => {}), kill: () => void killed.push("database") },
    { name: "model", stop: () => Promise.reject(new Error("out of order")) },
    {
      name: "stack",
      stop: () => {
        throw new Error("no such process");
      },
      kill: () => {
        killed.push("stack");
        throw new Error("it has gone");
      },
    },
  ];
  let left: string[] | undefined;
  const stopping = stopParts(parts, { clock, withinMs: 1000 }).then((names) => left = names);
  await settle();
  clock.advance(999);
  await settle();
  assert.equal(left, undefined);
  clock.advance(1);
  await stopping;
  assert.deepEqual(left, [
    "stack (Error: no such process)",
    "model (Error: out of order)",
    "database (not within 1000 ms)",
  ]);
  assert.deepEqual(killed, ["stack", "database"]);
  assert.equal(clock.pending, 0);
  assert.doesNotThrow(() => killParts(parts));
});
