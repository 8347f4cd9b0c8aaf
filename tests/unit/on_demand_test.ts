import assert from "node:assert/strict";
import { OnDemand } from "../../supabase/functions/_shared/on_demand.ts";
import { settle } from "../support/manual_clock.ts";

/** A module whose load the test completes, with a record of the calls. */
function byHand(): {
  thing: OnDemand<string>;
  loads: PromiseWithResolvers<string>[];
  told: string[];
  use: (name: string) => void;
} {
  const loads: PromiseWithResolvers<string>[] = [];
  const told: string[] = [];
  const thing = new OnDemand(() => {
    const load = Promise.withResolvers<string>();
    loads.push(load);
    return load.promise;
  });
  const use = (name: string): void =>
    thing.use((loaded) => told.push(`${name}: ${loaded}`), (error) => told.push(`${name}: ${error}`));
  return { thing, loads, told, use };
}

Deno.test("OnDemand: nothing is loaded before the first use, and it is loaded once", async () => {
  const { thing, loads, told, use } = byHand();
  assert.equal(loads.length, 0);
  assert.ok(!thing.isWanted);
  use("a");
  use("b");
  assert.deepEqual([thing.isLoaded, thing.isWanted, thing.loaded], [false, true, undefined]);
  loads[0]?.resolve("there");
  await settle();
  assert.deepEqual(told, ["a: there", "b: there"]);
  assert.deepEqual([thing.isLoaded, thing.isWanted, thing.loaded], [true, true, "there"]);
  use("c");
  assert.equal(told.at(-1), "c: there", "at once");
  assert.equal(loads.length, 1);
});

Deno.test("OnDemand: who comes while others are served comes after them", async () => {
  const { thing, loads, told, use } = byHand();
  thing.use(() => use("late"), () => assert.fail());
  use("early");
  loads[0]?.resolve("there");
  await settle();
  assert.deepEqual(told, ["early: there", "late: there"]);
});

Deno.test("OnDemand: all who wait are told of a failure, and the next use tries again", async () => {
  const { thing, loads, told, use } = byHand();
  use("a");
  use("b");
  loads[0]?.reject("gone");
  await settle();
  assert.deepEqual(told, ["a: gone", "b: gone"]);
  const got = thing.get();
  loads[1]?.resolve("there");
  assert.equal(await got, "there");
  use("c");
  assert.equal(told.at(-1), "c: there");
});

Deno.test("OnDemand.of is there at once; get() rejects where nothing can be loaded", async () => {
  const told: number[] = [];
  OnDemand.of(1).use((loaded) => told.push(loaded), () => assert.fail());
  assert.deepEqual(told, [1]);
  await assert.rejects(new OnDemand(() => Promise.reject(new Error("gone"))).get(), /gone/);
});

Deno.test("OnDemand: only so many wait, and the others are told so", async () => {
  const load = Promise.withResolvers<string>();
  const thing = new OnDemand(() => load.promise, { maxWaiting: 2 });
  const told: string[] = [];
  for (const name of ["a", "b", "c"]) thing.use(() => told.push(name), () => told.push(`no ${name}`));
  assert.ok(thing.isFull);
  assert.deepEqual(told, ["no c"]);
  load.resolve("");
  await settle();
  assert.ok(!thing.isFull);
  thing.use(() => told.push("d"), () => told.push("no d"));
  assert.deepEqual(told, ["no c", "a", "b", "d"]);
});
