import assert from "node:assert/strict";
import { WakeTimes } from "../../../supabase/functions/_shared/session/wake_times.ts";
import { ManualClock } from "../../support/manual_clock.ts";

Deno.test("tasks that are due at the same time share one timer, in their order", () => {
  const { clock, wakeTimes, ran, note } = start();
  wakeTimes.at(clock.now() + 500, note("a"));
  clock.advance(200);
  wakeTimes.at(clock.now() + 300, note("b"));
  wakeTimes.at(clock.now() + 400, note("later"));
  assert.equal(clock.pending, 2);
  clock.advance(300);
  assert.deepEqual(ran, ["a", "b"]);
  clock.advance(100);
  assert.equal(ran.at(-1), "later");
  assert.equal(clock.pending, 0);
});

Deno.test("a task that was cancelled does not run, and the last one takes the timer with it", () => {
  const { clock, wakeTimes, ran, note } = start();
  const cancelA = wakeTimes.at(clock.now() + 500, note("a"));
  const cancelB = wakeTimes.at(clock.now() + 500, note("b"));
  cancelA();
  cancelA();
  assert.equal(clock.pending, 1);
  cancelB();
  assert.equal(clock.pending, 0);
  wakeTimes.at(clock.now() + 500, note("c"));
  cancelB();
  clock.advance(500);
  assert.deepEqual(ran, ["c"]);
});

Deno.test("a task may cancel another one of its moment, and set a new one for the same time", () => {
  const { clock, wakeTimes, ran, note } = start();
  const at = clock.now() + 500;
  wakeTimes.at(at, () => {
    cancelB();
    wakeTimes.at(at, note("again"));
  });
  const cancelB = wakeTimes.at(at, note("b"));
  clock.advance(500);
  clock.advance(0);
  assert.deepEqual(ran, ["again"]);
});

function start(): {
  clock: ManualClock;
  wakeTimes: WakeTimes;
  ran: string[];
  note(name: string): () => void;
} {
  const clock = new ManualClock();
  const ran: string[] = [];
  const note = (name: string) => (): void => void ran.push(name);
  return { clock, wakeTimes: new WakeTimes(clock), ran, note };
}
