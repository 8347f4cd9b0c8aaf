/** Whose the turns are, which the lease says: lost with it, adopted with it. */

import type { Committed, OpenTurn } from "../../ports/event_log.ts";
import { leave, passStopOn } from "./fold.ts";
import { type LeaseSignal, type LeaseView, stepLease } from "./lease.ts";
import { adoptAttempt, dropAttempt, interruptTurn, loseCall, MAX_STARTS, put, stopTurn } from "./run.ts";
import { announceStart, showText } from "./show.ts";
import type { Step } from "./state.ts";
import {
  fromEvent,
  type ProposedTurn,
  type QueuedTurn,
  type RemoteTurn,
  remoteTurn,
  shownOf,
  type Turn,
} from "./turn.ts";

/** The lease, and with it whose the turns are. */
export function stepTo(step: Step, signal: LeaseSignal): void {
  const { state } = step;
  const before = state.lease;
  state.lease = stepLease(before, signal);
  if (before.epoch !== state.lease.epoch) state.tailAskedAt = 0;
  if (state.lease.name === "free" || state.lease.name === "other") loseTurns(step, before);
}

/** None of the turns is ours any more: whoever holds the lease answers. */
function loseTurns(step: Step, { epoch }: Pick<LeaseView, "epoch">): void {
  const { state } = step;
  for (const turn of [...state.turns.values()]) {
    switch (turn.phase) {
      case "proposed":
        if (state.lease.name === "other") dropAttempt(step, turn);
        if (turn.seq !== undefined) leave(step, turn, { seq: turn.seq });
        continue;
      case "remote":
        continue;
      case "running":
        loseCall(step, turn);
        break;
      case "ending":
        // Its end is in the log, which is not read that far yet.
        if (state.flight?.answer !== undefined && state.flight.ends.includes(turn.query.queryId)) continue;
        if (turn.end.kind === "cancelled") passStopOn(state, turn.query.queryId, turn.end.reason);
        break;
      case "queued":
        break;
    }
    put(state, toRemote(turn, epoch));
  }
}

function toRemote(turn: Exclude<Turn, ProposedTurn>, epoch: number): RemoteTurn {
  const text = shownOf(turn);
  const { query, seq } = turn;
  const begun = turn.phase === "queued" ? turn.begun : undefined;
  return { ...remoteTurn(query, seq), begun, shown: { epoch: text === "" ? 0 : epoch, text } };
}

/** Every turn in the log is ours: those that another worker has left, and those that came meanwhile. */
export function adoptTurns(step: Step, answer: Committed): void {
  const { state } = step;
  const inherited = new Map(state.inherited.map((open) => [open.query.turnId, open]));
  state.inherited = [];
  for (const open of inherited.values()) addUnread(step, open);
  for (const turn of [...state.turns.values()]) {
    if (turn.phase === "proposed" && turn.seq !== undefined) adoptProposed(step, turn, turn.seq);
    if (turn.phase === "queued") markBegun(turn, inherited.get(turn.query.turnId));
    if (turn.phase !== "remote") continue;
    const open = inherited.get(turn.query.turnId);
    // The claim would have told of it: its end was in the part of the log that is not kept.
    if (open === undefined && answer.openTurns !== undefined && isBefore(turn, answer)) {
      state.turns.delete(turn.query.queryId);
    } else adopt(step, turn, open);
  }
}

/** A write that was in doubt has told the store that it runs: it goes first, so that what the store says is true. */
function markBegun(turn: QueuedTurn, open: OpenTurn | undefined): void {
  if (open !== undefined && open.starts > 0) turn.begun ??= { starts: open.starts, partial: open.partial };
}

/** Its event is no longer kept, or was never read. */
function addUnread({ state }: Step, { query }: OpenTurn): void {
  if (state.turns.has(query.queryId) || state.ended.get(query.queryId)?.turnId === query.turnId) return;
  put(state, remoteTurn(fromEvent(query), query.seq));
}

function isBefore({ seq }: RemoteTurn, { lastSeq, events }: Committed): boolean {
  return seq <= lastSeq && !events.some((event) => event.seq === seq);
}

function adoptProposed(step: Step, turn: ProposedTurn, seq: number): void {
  const adopted = adoptAttempt(step, turn, seq, false);
  if (adopted.phase !== "running") return;
  announceStart(step, adopted, []);
  if (adopted.text !== "") showText(step, adopted, 0, adopted.text);
}

/** Goes on with a turn that another worker has left, or takes one that it has appended. */
export function adopt(step: Step, turn: RemoteTurn, open: OpenTurn | undefined): void {
  const { state: { settings }, effects } = step;
  const { query, seq, shown } = turn;
  const starts = open?.starts ?? turn.begun?.starts ?? 0;
  const partial = open?.partial ?? turn.begun?.partial ?? "";
  // Another worker may have begun it, and shown some of it, without having told the store.
  const begun = starts > 0 || shown.text !== "" ? { starts, partial } : undefined;
  const queued = put(step.state, { phase: "queued", query, seq, begun, shown: shown.text });
  const stopped = open?.stopped ?? turn.stopped;
  if (stopped !== undefined) {
    if (begun !== undefined) {
      effects.push({ kind: "taken_over", query, how: "cancel", chars: partial.length });
    }
    stopTurn(step, queued, stopped);
  } else if (starts >= MAX_STARTS || (starts > 0 && settings.continuePolicy === "interrupt")) {
    effects.push({ kind: "taken_over", query, how: "interrupt", chars: partial.length });
    interruptTurn(step, queued, "the worker that wrote the answer is gone");
  }
}
