/** A model that begins a new answer: what becomes of the text that was shown and stored before. */

import assert from "node:assert/strict";
import type { Committed, HolderWrite } from "../../../../supabase/functions/_shared/ports/event_log.ts";
import type { Effect } from "../../../../supabase/functions/_shared/session/core/effect.ts";
import { put } from "../../../../supabase/functions/_shared/session/core/put.ts";
import { startTurn } from "../../../../supabase/functions/_shared/session/core/run.ts";
import type { SessionState } from "../../../../supabase/functions/_shared/session/core/state.ts";
import { step, wakeAt } from "../../../../supabase/functions/_shared/session/core/step.ts";
import { type QueuedTurn, remoteTurn } from "../../../../supabase/functions/_shared/session/core/turn.ts";
import { heldSession, question } from "../../../support/core_session.ts";

const CHECKPOINT_MS = 500;

/** A worker that continues `partial`. Its start is in the store, and nothing else is. */
class Running {
  readonly state: SessionState = heldSession();
  now = 1_000_000;

  constructor(partial: string) {
    const { state, now } = this;
    state.lease = { name: "held", epoch: 1, renewedAt: now };
    state.log = { lastSeq: 1, wantedSeq: 1, reading: { name: "idle", retryAt: 0 } };
    state.connections.set("c", {
      id: "c",
      wantsDeltas: true,
      wantsReasoning: false,
      mayRepeatUntil: 0,
      cursor: 1,
      replay: { name: "live" },
    });
    const begun = { starts: 1, startsWithoutText: 0, partial };
    const turn: QueuedTurn = { phase: "queued", query: question("q"), seq: 1, begun, shown: partial };
    const queued = put(state, turn);
    startTurn({ state, now, effects: [] }, queued, { isStarted: true });
  }

  say(text: string): Effect[] {
    return step(this.state, { kind: "text", call: this.state.lastCall, text }, this.now);
  }

  restart(): Effect[] {
    return step(this.state, { kind: "restarted", call: this.state.lastCall }, this.now);
  }

  /** Time passes until the next checkpoint is due. */
  wake(): HolderWrite | undefined {
    this.now += CHECKPOINT_MS;
    return writeOf(step(this.state, { kind: "wake" }, this.now));
  }

  /** The write in flight is committed. Returns the next one. */
  commit(): HolderWrite | undefined {
    const answer: Committed = {
      events: [],
      lastSeq: 1,
      stopMatched: [],
      lease: { epoch: 1, holder: "self", leftMs: 5000 },
      stopped: [],
    };
    return writeOf(step(this.state, { kind: "committed", number: this.state.lastWrite, answer }, this.now));
  }
}

function writeOf(effects: readonly Effect[]): HolderWrite | undefined {
  const commit = effects.find((effect) => effect.kind === "commit");
  return commit?.kind === "commit" ? commit.write as HolderWrite : undefined;
}

const textsOf = (effects: readonly Effect[]): unknown[] =>
  effects.flatMap((effect) => effect.kind === "delta" ? [[effect.offset, effect.content]] : []);

Deno.test("[TO4] a continued answer is written again with its first new text, and not before", () => {
  const running = new Running("one ");
  assert.equal(running.wake(), undefined);
  running.say("two");
  assert.deepEqual(running.wake()?.checkpoint, { turnId: "t-q", number: 1, text: "one two" });
  running.say(" three");
  running.commit();
  assert.deepEqual(running.wake()?.checkpoint, { turnId: "t-q", number: 2, text: " three" });
});

Deno.test("[TO7] [DL3] a new answer is shown from offset 0, and its first checkpoint replaces the old one", () => {
  const running = new Running("one ");
  const effects = running.restart();
  assert.deepEqual(textsOf(effects), [[0, ""]]);
  assert.equal(writeOf(effects), undefined, "nothing of this run is in the store");
  assert.deepEqual(textsOf(running.say("eins")), [[0, "eins"]]);
  assert.deepEqual(running.wake(), { epoch: 1, checkpoint: { turnId: "t-q", number: 1, text: "eins" } });
});

Deno.test("[TO7] after checkpoints of its own, the run starts again before it writes the new answer", () => {
  const running = new Running("one ");
  running.say("two");
  running.wake();
  running.commit();
  const start = writeOf(running.restart());
  assert.deepEqual(start, { epoch: 1, startedTurnId: "t-q" });
  running.say("eins");
  running.now += CHECKPOINT_MS;
  // The store would take a checkpoint of the same write for one of the old text.
  assert.deepEqual(running.commit(), { epoch: 1, checkpoint: { turnId: "t-q", number: 1, text: "eins" } });
});

Deno.test("[TO7] a checkpoint that is in flight when the model begins again counts as one of the old text", () => {
  const running = new Running("one ");
  running.say("two");
  assert.equal(running.wake()?.checkpoint?.text, "one two");
  running.restart();
  running.say("eins");
  assert.deepEqual(running.commit(), { epoch: 1, startedTurnId: "t-q" });
  running.say(" zwei");
  running.now += CHECKPOINT_MS;
  assert.deepEqual(running.commit()?.checkpoint, { turnId: "t-q", number: 1, text: "eins zwei" });
  running.say(" drei");
  running.commit();
  assert.deepEqual(running.wake()?.checkpoint, { turnId: "t-q", number: 2, text: " drei" });
});

Deno.test("[TO7] [DU5] the same where the outcome of that checkpoint is in doubt", () => {
  const running = new Running("one ");
  running.say("two");
  running.wake();
  running.restart();
  running.say("eins");
  const fence = writeOf(
    step(running.state, { kind: "in_doubt", number: running.state.lastWrite }, running.now),
  );
  assert.equal(fence?.lease, "claim");
  running.now += CHECKPOINT_MS;
  const answer: Committed = {
    events: [],
    lastSeq: 1,
    stopMatched: [],
    lease: { epoch: 1, holder: "self", leftMs: 5000 },
    stopped: [],
    openTurns: [],
  };
  const effects = step(
    running.state,
    { kind: "committed", number: running.state.lastWrite, answer },
    running.now,
  );
  assert.deepEqual(writeOf(effects), { epoch: 1, startedTurnId: "t-q" });
  assert.deepEqual(running.commit()?.checkpoint, { turnId: "t-q", number: 1, text: "eins" });
});

Deno.test("[TO7] a call that has been given up restarts nothing, and an early call loses its text", () => {
  const running = new Running("one ");
  assert.deepEqual(step(running.state, { kind: "restarted", call: 99 }, running.now), []);
  assert.equal(wakeAt(running.state, running.now), running.now + 1500, "only the lease is renewed");
  const { state } = running;
  state.turns = new Map();
  put(state, {
    phase: "proposed",
    query: question("p"),
    attempt: { name: "calling", call: 7, text: "old", thoughts: "" },
    askers: [],
    write: "in_flight",
    displaces: undefined,
    seq: undefined,
  });
  step(state, { kind: "restarted", call: 7 }, running.now);
  step(state, { kind: "text", call: 7, text: "new" }, running.now);
  const turn = state.turns.get("p");
  assert.ok(turn?.phase === "proposed" && turn.attempt.name === "calling");
  assert.equal(turn.attempt.text, "new");
});

Deno.test("[TO7] [DL2] a piece from before another worker's answer began again changes nothing, however late it comes", () => {
  const { state, now } = new Running("");
  state.turns = new Map();
  state.lease = { name: "other", epoch: 1, until: now + 5000 };
  put(state, remoteTurn(question("q"), 1));
  const { turnId } = question("q");
  const shows: unknown[] = [];
  const take = (restarts: number, offset: number, content: string): void => {
    const call = { kind: "tail", epoch: 1, restarts, turnId, queryId: "q", offset, content } as const;
    for (const effect of step(state, { kind: "called", call }, now)) {
      if (effect.kind === "delta") shows.push([effect.offset, effect.content]);
    }
  };
  take(0, 0, "Once upon a time");
  take(1, 0, "A new answer");
  take(0, 8, "n a time, and");
  take(0, 0, "");
  take(1, 12, " goes on.");
  take(2, 0, "");
  take(1, 0, "A new answer goes on.");
  assert.deepEqual(shows, [[0, "Once upon a time"], [0, "A new answer"], [12, " goes on."], [0, ""]]);
});
