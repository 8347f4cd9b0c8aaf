import assert from "node:assert/strict";
import * as fc from "fast-check";
import { PRIORITIES, type Priority } from "../../../../supabase/functions/_shared/protocol/queueing.ts";
import { countSkips, nextTurn, position } from "../../../../supabase/functions/_shared/session/core/queue.ts";
import { put, remove } from "../../../../supabase/functions/_shared/session/core/put.ts";
import type { SessionState } from "../../../../supabase/functions/_shared/session/core/state.ts";
import type { QueuedTurn } from "../../../../supabase/functions/_shared/session/core/turn.ts";
import { heldSession, question } from "../../../support/core_session.ts";

/** Adds a waiting turn at the end of the log. */
function push(state: SessionState, priority: Priority): QueuedTurn {
  const seq = ++state.log.lastSeq;
  const query = { ...question(`q${seq}`), priority };
  const turn: QueuedTurn = { phase: "queued", query, seq, begun: undefined, shown: "" };
  put(state, turn);
  return turn;
}

function take(state: SessionState): QueuedTurn | undefined {
  const next = nextTurn(state);
  if (next === undefined) return undefined;
  countSkips(state, next);
  remove(state, next.query.queryId);
  return next;
}

/** All waiting turns, in the order of their positions. */
function foretold(state: SessionState): QueuedTurn[] {
  const waiting = [...state.turns.values()].filter((turn) => turn.phase === "queued");
  const placed = waiting.map((turn) => ({ turn, place: position(state, turn) }));
  placed.sort((a, b) => a.place - b.place);
  assert.deepEqual(placed.map(({ place }) => place), placed.map((_, index) => index + 1));
  return placed.map(({ turn }) => turn);
}

Deno.test("[QU5] the queue: nothing is lost, lanes keep their order, and positions say what runs next", () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...PRIORITIES, "take" as const), { maxLength: 60 }), (steps) => {
      const state = heldSession();
      const pushed: QueuedTurn[] = [];
      const taken: QueuedTurn[] = [];
      for (const step of steps) {
        if (step !== "take") {
          pushed.push(push(state, step));
          continue;
        }
        const [expected] = foretold(state);
        const next = take(state);
        assert.equal(next, expected);
        if (next !== undefined) taken.push(next);
      }
      const rest = foretold(state);
      for (const expected of rest) assert.equal(take(state), expected);
      const all = [...taken, ...rest];
      assert.deepEqual(new Set(all), new Set(pushed));
      for (const priority of PRIORITIES) {
        const ofLane = (turns: QueuedTurn[]) => turns.filter(({ query }) => query.priority === priority);
        assert.deepEqual(ofLane(all), ofLane(pushed));
      }
    }),
  );
});

Deno.test("[QU5] the queue: a lane that waits is passed over at most four times by higher lanes", () => {
  const state = heldSession();
  const low = push(state, "low");
  for (let n = 0; n < 20; n++) push(state, "high");
  assert.equal(position(state, low), 5);
});
