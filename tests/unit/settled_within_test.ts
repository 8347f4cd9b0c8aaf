import assert from "node:assert/strict";
import { settledWithin } from "../../supabase/functions/_shared/settled_within.ts";
import { ManualClock } from "../support/manual_clock.ts";

Deno.test("settledWithin: true in time, false when it is over, and no timer stays behind", async () => {
  const clock = new ManualClock();
  assert.equal(await settledWithin(clock, 100, Promise.resolve("done")), true);
  const never = settledWithin(clock, 100, new Promise(() => {}));
  clock.advance(100);
  assert.equal(await never, false);
  await assert.rejects(settledWithin(clock, 100, Promise.reject(new Error("no"))), /no/);
  assert.equal(clock.pending, 0);
});

Deno.test("settledWithin: what fails too late is no unhandled rejection", async () => {
  const clock = new ManualClock();
  const { promise, reject } = Promise.withResolvers<void>();
  const waiting = settledWithin(clock, 100, promise);
  clock.advance(100);
  assert.equal(await waiting, false);
  reject(new Error("late"));
  await Promise.resolve();
});
