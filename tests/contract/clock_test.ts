/** The contract of every Clock: the system's and the manual one. */

import assert from "node:assert/strict";
import { systemClock } from "../../supabase/functions/_shared/platform/system.ts";
import type { Clock } from "../../supabase/functions/_shared/ports/runtime.ts";
import { ManualClock } from "../support/manual_clock.ts";

interface Subject {
  clock: Clock;
  /** Lets at least `ms` milliseconds pass, and runs what is due by then. */
  pass(ms: number): Promise<void>;
}

const SUBJECTS: Readonly<Record<string, () => Subject>> = {
  system: () => ({
    clock: systemClock(),
    pass: (ms) => new Promise((resolve) => setTimeout(resolve, ms + 5)),
  }),
  manual(): Subject {
    const clock = new ManualClock();
    return { clock, pass: (ms) => Promise.resolve(clock.advance(ms)) };
  },
};

for (const [name, open] of Object.entries(SUBJECTS)) {
  Deno.test(`${name} clock: it tells whole milliseconds since the epoch, and they go on`, async () => {
    const { clock, pass } = open();
    const before = clock.now();
    assert.ok(Number.isInteger(before) && before > Date.UTC(2020));
    await pass(20);
    assert.ok(clock.now() - before >= 20);
  });

  Deno.test(`${name} clock: a task runs once, when its time has come and not before`, async () => {
    const { clock, pass } = open();
    const setAt = clock.now();
    const ranAt: number[] = [];
    clock.after(20, () => ranAt.push(clock.now()));
    assert.deepEqual(ranAt, []);
    await pass(20);
    await pass(40);
    assert.equal(ranAt.length, 1);
    // The system uses one clock for timers and another for the time of day, so they may differ by rounding.
    assert.ok((ranAt[0] ?? 0) - setAt >= 19);
  });

  Deno.test(`${name} clock: tasks run in the order of their times, and of being set`, async () => {
    const { clock, pass } = open();
    const order: string[] = [];
    clock.after(40, () => order.push("late"));
    clock.after(1, () => order.push("early"));
    clock.after(1, () => order.push("early, set second"));
    await pass(40);
    assert.deepEqual(order, ["early", "early, set second", "late"]);
  });

  Deno.test(`${name} clock: a delay of nothing, or less, is a task for later all the same`, async () => {
    const { clock, pass } = open();
    const order: string[] = [];
    clock.after(0, () => order.push("zero"));
    clock.after(-1000, () => order.push("negative"));
    order.push("set");
    await pass(0);
    assert.deepEqual(order, ["set", "zero", "negative"]);
  });

  Deno.test(`${name} clock: a cancelled task does not run, however often it is cancelled`, async () => {
    const { clock, pass } = open();
    const cancel = clock.after(5, () => assert.fail("a cancelled timer fired"));
    cancel();
    cancel();
    await pass(10);
  });

  Deno.test(`${name} clock: cancelling a task that runs or has run does nothing, to it or to others`, async () => {
    const { clock, pass } = open();
    let runs = 0;
    const cancel = clock.after(5, () => {
      runs++;
      cancel();
    });
    await pass(5);
    clock.after(5, () => runs++);
    cancel();
    await pass(5);
    assert.equal(runs, 2);
  });

  Deno.test(`${name} clock: a task may set another`, async () => {
    const { clock, pass } = open();
    let runs = 0;
    clock.after(1, () => clock.after(1, () => runs++));
    // A timer that is due late is not due at the same time as the one that it sets.
    for (let times = 0; runs === 0 && times < 100; times++) await pass(30);
    assert.equal(runs, 1);
  });

  Deno.test(`${name} clock: a delay of years is not over at once`, async () => {
    const { clock, pass } = open();
    const cancel = clock.after(100 * 365 * 86_400_000, () => assert.fail("a timer fired before it was due"));
    await pass(10);
    cancel();
  });
}
