/** The next phase of a turn for each event in each phase: the whole table, computed by the state machine itself. */

import assert from "node:assert/strict";
import type { Committed } from "../../../../supabase/functions/_shared/ports/event_log.ts";
import type { LogEvent } from "../../../../supabase/functions/_shared/protocol/log_event.ts";
import type { Effect } from "../../../../supabase/functions/_shared/session/core/effect.ts";
import type { SessionEvent } from "../../../../supabase/functions/_shared/session/core/event.ts";
import { put } from "../../../../supabase/functions/_shared/session/core/put.ts";
import { newSession, type SessionState } from "../../../../supabase/functions/_shared/session/core/state.ts";
import { step } from "../../../../supabase/functions/_shared/session/core/step.ts";
import type { Question, Turn, TurnPhase } from "../../../../supabase/functions/_shared/session/core/turn.ts";
import { MAX_THOUGHT_CHARS } from "../../../../supabase/functions/_shared/session/core/thoughts.ts";
import { CORE_SETTINGS } from "../../../support/core_session.ts";

const NOW = 1000;
const QUERY: Question = {
  kind: "query",
  queryId: "q",
  turnId: "t",
  content: "?",
  options: {},
  priority: "normal",
  first: false,
  connectionId: "c",
  feedback: [],
  stream: undefined,
  quotaKeys: [],
};
const { stream: _, quotaKeys: __, ...EVENT } = QUERY;
const ASKED: LogEvent = { ...EVENT, seq: 1, at: NOW };
const ENDED: LogEvent = {
  kind: "cancelled",
  queryId: "q",
  turnId: "t",
  reason: "cancelled",
  partial: "",
  seq: 2,
  at: NOW,
};

const TURNS: Record<TurnPhase, Turn> = {
  proposed: {
    phase: "proposed",
    query: QUERY,
    attempt: { name: "calling", call: 1, text: "so far", thoughts: "Hm. " },
    askers: ["c"],
    write: "in_flight",
    displaces: undefined,
    seq: undefined,
  },
  queued: { phase: "queued", query: QUERY, seq: 1, begun: undefined, shown: "" },
  running: {
    phase: "running",
    query: QUERY,
    seq: 1,
    call: 1,
    text: "so far",
    thoughts: "Hm. ",
    base: 0,
    restarts: 0,
    kept: { isStarted: true, pieces: 0, chars: 0 },
    checkpointAt: Infinity,
  },
  acting: {
    phase: "acting",
    query: QUERY,
    seq: 1,
    text: "so far",
    restarts: 0,
    kept: { isStarted: true, pieces: 0, chars: 0 },
    proposed: [],
    runs: new Map([["t:1:0", { name: "running" }]]),
  },
  ending: {
    phase: "ending",
    query: QUERY,
    seq: 1,
    end: { kind: "cancelled", queryId: "q", turnId: "t", reason: "cancelled", partial: "so far" },
    before: [],
    shown: "so far",
  },
  remote: {
    phase: "remote",
    query: QUERY,
    seq: 1,
    begun: undefined,
    stopped: undefined,
    shown: { epoch: 1, restarts: 0, text: "so far" },
  },
};

/** A session with this turn, the lease, and a write in flight, so that nothing follows automatically. */
function sessionWith(turn: Turn): SessionState {
  const state = newSession(CORE_SETTINGS);
  const isOurs = turn.phase !== "remote" && turn.phase !== "proposed";
  const seq = turn.phase === "proposed" ? 0 : 1;
  state.lease = isOurs
    ? { name: "held", epoch: 1, renewedAt: NOW }
    : turn.phase === "proposed"
    ? { name: "claiming", epoch: 0 }
    : { name: "other", epoch: 1, until: NOW + 5000 };
  state.log = { lastSeq: seq, wantedSeq: seq, reading: { name: "idle", retryAt: 0 } };
  put(state, structuredClone(turn));
  state.connections.set("c", {
    id: "c",
    wantsDeltas: true,
    wantsReasoning: true,
    mayRepeatUntil: 0,
    cursor: seq,
    replay: { name: "live" },
  });
  state.lastWrite = 1;
  state.lastCall = 1;
  state.flight = {
    number: 1,
    write: isOurs ? { epoch: 1 } : { lease: "claim" },
    sentAt: NOW,
    intents: turn.phase === "proposed"
      ? [{ kind: "ask", queryId: "q", stop: undefined, onlyIfIdle: false }]
      : [],
    ends: [],
    acts: undefined,
    started: "none",
    progress: undefined,
    answer: undefined,
  };
  return state;
}

function committed(holder: "self" | "other", events: LogEvent[], lastSeq: number): SessionEvent {
  const openTurns = [{
    query: { ...EVENT, seq: 1, at: NOW },
    starts: 1,
    startsWithoutText: 1,
    partial: "",
    stopped: undefined,
    tools: [],
  }];
  const any = { events, lastSeq, stopMatched: [] };
  const answer: Committed = holder === "self"
    ? { ...any, lease: { epoch: 1, holder, leftMs: 5000 }, stopped: [], openTurns }
    : { ...any, lease: { epoch: 2, holder, leftMs: 5000 } };
  return { kind: "committed", number: 1, answer };
}

const page = (events: LogEvent[], lastSeq: number): SessionEvent => ({
  kind: "page",
  purpose: { for: "log" },
  afterSeq: 0,
  page: { events, oldestSeq: 1, lastSeq, lease: { epoch: 0, holder: "self", leftMs: 1 } },
});

const HAPPENINGS = {
  "the log shows its question": () => page([ASKED], 1),
  "the log shows its end": () => page([ASKED, ENDED], 2),
  "its write is committed, the lease is ours": () => committed("self", [ASKED], 1),
  "its write is committed, the lease is another's": () => committed("other", [ASKED], 1),
  "its write is refused": (): SessionEvent => ({ kind: "rejected", number: 1, code: "busy" }),
  "nobody knows of its write": (): SessionEvent => ({ kind: "in_doubt", number: 1 }),
  "it is stopped": (): SessionEvent => ({
    kind: "stop",
    wish: "w",
    stop: { which: "all", reason: "cancelled" },
  }),
  "the model says something": (): SessionEvent => ({ kind: "text", call: 1, text: "!" }),
  "the model thinks": (): SessionEvent => ({ kind: "reasoning", call: 1, text: "Hm." }),
  "the model is done": (): SessionEvent => ({
    kind: "model_ended",
    call: 1,
    outcome: { ok: true, reply: { finishReason: "stop", model: "m" } },
  }),
  "the session is gone": (): SessionEvent => ({ kind: "abandon" }),
} as const;

/** `none`: the turn is retracted or has ended, and nothing remains that could be shown. */
const TABLE: Record<TurnPhase, Record<keyof typeof HAPPENINGS, TurnPhase | "none">> = {
  proposed: {
    "the log shows its question": "proposed",
    "the log shows its end": "none",
    "its write is committed, the lease is ours": "running",
    "its write is committed, the lease is another's": "remote",
    "its write is refused": "none",
    "nobody knows of its write": "proposed",
    "it is stopped": "proposed",
    "the model says something": "proposed",
    "the model thinks": "proposed",
    "the model is done": "proposed",
    "the session is gone": "proposed",
  },
  queued: {
    "the log shows its question": "queued",
    "the log shows its end": "none",
    "its write is committed, the lease is ours": "running",
    "its write is committed, the lease is another's": "remote",
    // Nothing is in flight then, so it starts.
    "its write is refused": "running",
    "nobody knows of its write": "queued",
    "it is stopped": "ending",
    "the model says something": "queued",
    "the model thinks": "queued",
    "the model is done": "queued",
    "the session is gone": "queued",
  },
  running: {
    "the log shows its question": "running",
    "the log shows its end": "none",
    "its write is committed, the lease is ours": "running",
    "its write is committed, the lease is another's": "remote",
    "its write is refused": "running",
    "nobody knows of its write": "running",
    "it is stopped": "ending",
    "the model says something": "running",
    "the model thinks": "running",
    "the model is done": "ending",
    "the session is gone": "running",
  },
  acting: {
    "the log shows its question": "acting",
    "the log shows its end": "none",
    "its write is committed, the lease is ours": "acting",
    "its write is committed, the lease is another's": "remote",
    "its write is refused": "acting",
    "nobody knows of its write": "acting",
    "it is stopped": "ending",
    "the model says something": "acting",
    "the model thinks": "acting",
    "the model is done": "acting",
    "the session is gone": "acting",
  },
  ending: {
    "the log shows its question": "ending",
    "the log shows its end": "none",
    "its write is committed, the lease is ours": "ending",
    "its write is committed, the lease is another's": "remote",
    "its write is refused": "ending",
    "nobody knows of its write": "ending",
    "it is stopped": "ending",
    "the model says something": "ending",
    "the model thinks": "ending",
    "the model is done": "ending",
    "the session is gone": "ending",
  },
  remote: {
    "the log shows its question": "remote",
    "the log shows its end": "none",
    "its write is committed, the lease is ours": "running",
    "its write is committed, the lease is another's": "remote",
    "its write is refused": "remote",
    "nobody knows of its write": "remote",
    "it is stopped": "remote",
    "the model says something": "remote",
    "the model thinks": "remote",
    "the model is done": "remote",
    "the session is gone": "remote",
  },
};

for (const turn of Object.values(TURNS)) {
  Deno.test(`a ${turn.phase} turn, whatever happens`, () => {
    for (const [name, happening] of Object.entries(HAPPENINGS)) {
      const state = sessionWith(turn);
      step(state, happening(), NOW);
      const expected = TABLE[turn.phase][name as keyof typeof HAPPENINGS];
      assert.equal(state.turns.get("q")?.phase ?? "none", expected, name);
    }
  });
}

Deno.test("[DL2] of a turn that has no end in the log text is shown, of any other none", () => {
  for (const turn of Object.values(TURNS)) {
    const state = sessionWith(turn);
    step(state, page([ASKED, ENDED], 2), NOW);
    const effects = [
      ...step(state, { kind: "text", call: 1, text: "!" }, NOW),
      ...step(state, {
        kind: "called",
        call: { kind: "tail", epoch: 9, turnId: "t", queryId: "q", offset: 0, content: "!" },
      }, NOW),
    ];
    assert.deepEqual(effects.filter(isText), [], turn.phase);
  }
});

Deno.test("[SQ3] an answer that is not that of the write in flight is a mistake of the driver", () => {
  const state = sessionWith(TURNS.running);
  assert.throws(
    () => step(state, { kind: "in_doubt", number: 2 }, NOW),
    /Cannot settle write 2: 1 is in flight/,
  );
});

function isText({ kind }: Effect): boolean {
  return kind === "delta";
}

Deno.test("[RE1] reasoning is shown of a running turn, and of a turn in any other phase nothing is", () => {
  for (const turn of Object.values(TURNS)) {
    const state = sessionWith(turn);
    const effects = step(state, { kind: "reasoning", call: 1, text: "So." }, NOW);
    const shown = { kind: "reasoning", turnId: "t", queryId: "q", offset: 4, content: "So.", to: ["c"] };
    assert.deepEqual(effects, turn.phase === "running" ? [shown] : [], turn.phase);
    step(state, page([ASKED, ENDED], 2), NOW);
    assert.deepEqual(step(state, { kind: "reasoning", call: 1, text: "!" }, NOW), [], turn.phase);
  }
});

Deno.test("[RE1] a piece of reasoning that no connection wants has no effect, and is kept for one that comes later", () => {
  const state = sessionWith(TURNS.running);
  state.connections.clear();
  assert.deepEqual(step(state, { kind: "reasoning", call: 1, text: "So." }, NOW), []);
  const attach = { connectionId: "d", cursor: 1, wantsDeltas: false, wantsReasoning: true, isResumed: true };
  const [first, ...more] = step(state, { kind: "attach", ...attach }, NOW);
  assert.deepEqual(first, {
    kind: "reasoning",
    turnId: "t",
    queryId: "q",
    offset: 0,
    content: "Hm. So.",
    to: ["d"],
  });
  assert.deepEqual(more, []);
});

Deno.test("[RE2] an answer that is begun anew does not void what the model thought", () => {
  const state = sessionWith(TURNS.running);
  step(state, { kind: "restarted", call: 1 }, NOW);
  const [next] = step(state, { kind: "reasoning", call: 1, text: "So." }, NOW);
  assert.equal(next?.kind === "reasoning" && next.offset, 4);
});

Deno.test("[RE3] reasoning beyond the cap is cut off, which a character shows, and never within a surrogate pair", () => {
  for (
    const [room, text, kept] of [[3, "🙂🙂", "🙂🙂…"], [2, "🙂🙂", "🙂…"], [0, "a", "…"], [
      2,
      "ab",
      "ab",
    ]] as const
  ) {
    const state = sessionWith(TURNS.running);
    step(state, { kind: "reasoning", call: 1, text: "x".repeat(MAX_THOUGHT_CHARS - 4 - room) }, NOW);
    const [cut] = step(state, { kind: "reasoning", call: 1, text }, NOW);
    assert.equal(cut?.kind === "reasoning" && cut.content, kept);
    const [after] = step(state, { kind: "reasoning", call: 1, text: "more" }, NOW);
    assert.equal(after?.kind === "reasoning" ? after.content : "", kept === "ab" ? "…" : "");
    assert.deepEqual(step(state, { kind: "reasoning", call: 1, text: "more" }, NOW), []);
  }
});
