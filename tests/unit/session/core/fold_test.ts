import assert from "node:assert/strict";
import type { LogEvent } from "../../../../supabase/functions/_shared/protocol/log_event.ts";
import { foldEvents } from "../../../../supabase/functions/_shared/session/core/fold.ts";
import { newSession, type SessionState } from "../../../../supabase/functions/_shared/session/core/state.ts";
import {
  type Attempt,
  type ProposedTurn,
  textOf,
} from "../../../../supabase/functions/_shared/session/core/turn.ts";
import { CORE_SETTINGS } from "../../../support/core_session.ts";
import { put } from "../../../../supabase/functions/_shared/session/core/put.ts";
import type { Effect } from "../../../../supabase/functions/_shared/session/core/effect.ts";
import { cancelled, cleared, query, response } from "../../../support/log_events.ts";

function fold(state: SessionState, events: readonly LogEvent[]): void {
  foldEvents({ state, now: 0, effects: [] }, events);
}

/** A query and its response, as in the log. */
function turn(n: number, content = "?"): LogEvent[] {
  return [
    { ...query(`q${n}`, content), seq: 2 * n + 1, at: 0 },
    { ...response(`q${n}`), turnId: `t-q${n}`, seq: 2 * n + 2, at: 0 },
  ];
}

Deno.test("[QU4] queries are remembered as long as the log keeps their ends", () => {
  const state = newSession({ ...CORE_SETTINGS, maxEvents: 5 });
  for (let n = 0; n < 10; n++) fold(state, turn(n));
  assert.deepEqual([...state.ended.keys()], ["q7", "q8", "q9"]);
  assert.equal(state.ended.get("q7")?.endSeq, 16);
  assert.equal(state.lastTurnId, "t-q9");
});

Deno.test("[QU4] what is remembered of long questions is bounded", () => {
  const state = newSession({ ...CORE_SETTINGS, maxEvents: 1_000_000 });
  for (let n = 0; n < 100; n++) fold(state, turn(n, "x".repeat(100_000)));
  assert.deepEqual([state.ended.size, [...state.ended.keys()].at(-1)], [40, "q99"]);
  assert.equal(state.endedChars, 4_000_000);
});

Deno.test("[QU2] the end of an older turn does not end a later one of the same query", () => {
  const state = newSession(CORE_SETTINGS);
  fold(state, [{ ...query("q"), turnId: "later", seq: 1, at: 0 }]);
  fold(state, [{ ...response("q"), turnId: "older", seq: 2, at: 0 }]);
  assert.equal(state.turns.get("q")?.query.turnId, "later");
  fold(state, [{ ...response("q"), turnId: "later", seq: 3, at: 0 }]);
  assert.equal(state.ended.get("q")?.endSeq, 3);
});

Deno.test("[SQ2] events that were folded before, or whose predecessor is missing, are left out", () => {
  const state = newSession(CORE_SETTINGS);
  const [asked, answered] = turn(0) as [LogEvent, LogEvent];
  fold(state, [answered]);
  assert.equal(state.log.lastSeq, 0);
  fold(state, [asked, asked]);
  assert.deepEqual([state.log.lastSeq, state.turns.size], [1, 1]);
  fold(state, [asked, answered]);
  assert.deepEqual([state.log.lastSeq, state.turns.size, state.ended.size], [2, 0, 1]);
});

const REWOUND = { queryId: "new", turnId: "t-new", replaces: "old", fromSeq: 1 };

const CALLING = { name: "calling", call: 7, text: "so far", thoughts: "" } as const;
const DONE = { name: "done", end: response("mine"), thoughts: "" } as const;
const STOPPED = { name: "done", end: cancelled("mine", "so far"), thoughts: "" } as const;

for (const event of [cleared("x"), response("other"), { kind: "rewound", ...REWOUND } as const]) {
  const foldBefore = (attempt: Attempt): { attempt: Attempt; effects: Effect[] } => {
    const state = newSession(CORE_SETTINGS);
    const proposed = { write: "in_flight", displaces: undefined, seq: undefined } as const;
    const asked = { ...query("mine"), stream: undefined, quotaKeys: [] };
    const own = put<ProposedTurn>(state, {
      phase: "proposed",
      query: asked,
      attempt,
      ...proposed,
      askers: [],
    });
    const effects: Effect[] = [];
    foldEvents({ state, now: 0, effects }, [{ ...event, seq: 1, at: 0 }]);
    return { attempt: own.attempt, effects: effects.filter(({ kind }) => kind !== "learnt") };
  };

  Deno.test(`[QU11] [RW1] [CM3] an early model call does not count if ${event.kind} comes before its question in the log`, () => {
    const { attempt, effects } = foldBefore(CALLING);
    assert.equal(attempt.name, "none");
    assert.deepEqual(effects.find(({ kind }) => kind === "abort"), { kind: "abort", call: 7 });
    const accounted = effects.find((effect) => effect.kind === "account_call");
    assert.deepEqual([accounted?.why, accounted?.text], ["in_vain", "so far"]);
  });

  Deno.test(`[QU11] [RW1] [CM3] nor does one that has ended by then (${event.kind})`, () => {
    const { attempt, effects } = foldBefore(DONE);
    assert.equal(attempt.name, "none");
    const accounted = effects.find((effect) => effect.kind === "account_call");
    assert.deepEqual([accounted?.why, accounted?.text], ["in_vain", textOf(DONE.end)]);
  });

  Deno.test(`[QU11] [RW1] [CM3] one that was stopped stays stopped, without its text (${event.kind})`, () => {
    const { attempt } = foldBefore(STOPPED);
    assert.deepEqual(attempt, { ...STOPPED, end: { ...STOPPED.end, partial: "" } });
  });
}
