import assert from "node:assert/strict";
import * as fc from "fast-check";
import { Turn } from "../../../supabase/functions/_shared/agent/turn.ts";
import { TurnQueue } from "../../../supabase/functions/_shared/agent/turn_queue.ts";
import { PRIORITIES, type Priority } from "../../../supabase/functions/_shared/protocol/queueing.ts";
import { query } from "../../support/log_events.ts";

let count = 0;

function turn(priority: Priority): Turn {
  return new Turn({ ...query(`q${++count}`), priority, stream: undefined, payers: [] });
}

function drain(queue: TurnQueue): Turn[] {
  const turns: Turn[] = [];
  for (let next = queue.next(); next !== undefined; next = queue.next()) turns.push(next);
  return turns;
}

Deno.test("[QU5] TurnQueue: whatever comes, nothing is lost, lanes stay in order and inOrder tells the truth", () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...PRIORITIES, "take" as const), { maxLength: 60 }), (steps) => {
      const queue = new TurnQueue();
      const pushed: Turn[] = [];
      const taken: Turn[] = [];
      for (const step of steps) {
        if (step === "take") {
          const [expected] = queue.inOrder();
          const next = queue.next();
          assert.equal(next, expected);
          if (next !== undefined) taken.push(next);
        } else {
          const pushing = turn(step);
          queue.push(pushing);
          pushed.push(pushing);
        }
      }
      const foretold = queue.inOrder();
      foretold.forEach((waiting, index) => assert.equal(queue.position(waiting), index + 1));
      const rest = drain(queue);
      assert.deepEqual(rest, foretold);
      assert.deepEqual(new Set([...taken, ...rest]), new Set(pushed));
      for (const priority of PRIORITIES) {
        const ofLane = (turns: Turn[]): Turn[] => turns.filter(({ query }) => query.priority === priority);
        assert.deepEqual(ofLane([...taken, ...rest]), ofLane(pushed));
      }
    }),
  );
});

Deno.test("[QU5] TurnQueue: a lane that waits is passed over at most four times by higher ones, plus its fellows", () => {
  const queue = new TurnQueue();
  const low = turn("low");
  queue.push(low);
  for (let n = 0; n < 20; n++) queue.push(turn("high"));
  assert.equal(queue.position(low), 5);
});

Deno.test("TurnQueue: removing by id, and all", () => {
  const queue = new TurnQueue();
  const [a, b, c] = [turn("normal"), turn("high"), turn("normal")];
  for (const each of [a, b, c]) queue.push(each);
  assert.equal(queue.remove(a.query.queryId), a);
  assert.equal(queue.remove(a.query.queryId), undefined);
  assert.equal(queue.position(a), 0);
  assert.equal(queue.size, 2);
  assert.deepEqual(queue.removeAll(), [b, c]);
  assert.equal(queue.size, 0);
});
