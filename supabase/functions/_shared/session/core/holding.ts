/** Ownership of turns follows the lease: turns are adopted when it is gained and released when it is lost. */

import type { Committed, OpenTurn } from "../../ports/event_log.ts";
import { abortActs, foldToolEvent } from "./act.ts";
import { leave, passStopOn } from "./fold.ts";
import { type LeaseSignal, type LeaseView, stepLease } from "./lease.ts";
import { put, remove } from "./put.ts";
import { adoptAttempt, dropAttempt, loseCall, MAX_STARTS, MAX_STARTS_WITHOUT_TEXT } from "./run.ts";
import { announceStart, showText } from "./show.ts";
import type { CoreSettings, Step } from "./state.ts";
import { interruptTurn, stopTurn } from "./stop.ts";
import { showThoughts, thoughtsOf } from "./thoughts.ts";
import {
  type Begun,
  fromEvent,
  type Interruption,
  type ProposedTurn,
  type QueuedTurn,
  type RemoteTurn,
  remoteTurn,
  shownOf,
  type Turn,
} from "./turn.ts";

/** Changes the lease, and with it the ownership of the turns. */
export function stepTo(step: Step, signal: LeaseSignal): void {
  const { state } = step;
  const before = state.lease;
  state.lease = stepLease(before, signal);
  if (before.epoch !== state.lease.epoch) state.tailAskedAt = 0;
  if (state.lease.name === "free" || state.lease.name === "other") loseTurns(step, before);
}

/** Releases every turn: the holder of the lease answers them. */
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
      case "acting":
        abortActs(step, turn);
        break;
      case "ending":
        // Its terminal event is in the log, in a part that is not read yet.
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
  const stopped = turn.phase === "ending" && turn.isSuperseded ? "superseded" : undefined;
  const shown = { epoch: text === "" ? 0 : epoch, restarts: 0, text };
  return { ...remoteTurn(query, seq), begun, stopped, shown };
}

/** Adopts every open turn of the log: those another worker has left, and those that were added since. */
export function adoptTurns(step: Step, answer: Committed): void {
  const { state } = step;
  const inherited = new Map(state.inherited.map((open) => [open.query.turnId, open]));
  state.inherited = [];
  for (const open of inherited.values()) addUnread(step, open);
  for (const turn of [...state.turns.values()]) {
    const ours = turn.phase === "proposed" && turn.seq !== undefined
      ? adoptProposed(step, turn, turn.seq)
      : turn;
    if (ours.phase === "queued") markBegun(ours, inherited.get(turn.query.turnId));
    if (turn.phase !== "remote") continue;
    const open = inherited.get(turn.query.turnId);
    // The claim would have returned it, so it has ended: its terminal event was in a part of the log that is no longer kept.
    if (open === undefined && answer.openTurns !== undefined && isBefore(turn, answer)) {
      remove(state, turn.query.queryId);
    } else adopt(step, turn, open);
  }
}

/** A write that was in doubt told the store that this turn runs. It runs first, so that the store is right. */
function markBegun(turn: QueuedTurn, open: OpenTurn | undefined): void {
  if (open !== undefined && open.starts > 0) turn.begun ??= { ...begunOf(open), isOurs: true };
}

/** The turn's query event is no longer kept, or was never read. */
function addUnread(step: Step, { query, tools }: OpenTurn): void {
  const { state } = step;
  if (state.turns.has(query.queryId) || state.ended.get(query.queryId)?.turnId === query.turnId) return;
  put(state, remoteTurn(fromEvent(query), query.seq));
  for (const event of tools) foldToolEvent(step, event);
}

function isBefore({ seq }: RemoteTurn, { lastSeq, events }: Committed): boolean {
  return seq <= lastSeq && !events.some((event) => event.seq === seq);
}

function adoptProposed(step: Step, turn: ProposedTurn, seq: number): Turn {
  const thoughts = thoughtsOf(turn);
  const adopted = adoptAttempt(step, turn, seq, false);
  if (adopted.phase === "running" || adopted.phase === "acting") announceStart(step, adopted, []);
  if (adopted.phase === "running" || adopted.phase === "ending") showThoughts(step, adopted, 0, thoughts);
  if ((adopted.phase === "running" || adopted.phase === "acting") && adopted.text !== "") {
    showText(step, adopted, 0, adopted.text);
  }
  return adopted;
}

/** Continues a turn that another worker has left, or queues one that it has appended. */
export function adopt(step: Step, turn: RemoteTurn, open: OpenTurn | undefined): void {
  const { state: { settings }, effects } = step;
  const { query, seq, shown } = turn;
  const { starts, startsWithoutText, partial } = open ?? turn.begun ?? NOT_BEGUN;
  // Another worker may have begun it and shown some of its text without having written that to the store.
  const begun = starts > 0 || shown.text !== "" ? { starts, startsWithoutText, partial } : undefined;
  const queued = put(step.state, { phase: "queued", query, seq, begun, shown: shown.text });
  const stopped = open?.stopped ?? turn.stopped;
  if (stopped !== undefined) {
    if (begun !== undefined) {
      effects.push({ kind: "taken_over", query, how: "cancel", chars: partial.length });
    }
    stopTurn(step, queued, stopped);
    return;
  }
  const why = whyGivenUp(queued.begun, settings, step.state.threads.has(query.turnId));
  if (why === undefined) return;
  effects.push({ kind: "taken_over", query, how: "interrupt", chars: partial.length });
  interruptTurn(step, queued, why);
}

const NOT_BEGUN: Begun = { starts: 0, startsWithoutText: 0, partial: "" };

function begunOf({ starts, startsWithoutText, partial }: OpenTurn): Begun {
  return { starts, startsWithoutText, partial };
}

/** Why a turn that was begun before is not started again; undefined if it is. */
function whyGivenUp(
  begun: Begun | undefined,
  { continuePolicy }: CoreSettings,
  hasSteps: boolean,
): Interruption | undefined {
  if (begun === undefined || begun.starts === 0) return undefined;
  const { starts, startsWithoutText } = begun;
  if (startsWithoutText >= MAX_STARTS_WITHOUT_TEXT) {
    const content = `${startsWithoutText} workers ended before the model sent any new text`;
    return { content, retryable: false };
  }
  // A turn with steps may have waited for somebody, and none of its workers need have died.
  if (starts < MAX_STARTS && (continuePolicy !== "interrupt" || hasSteps)) return undefined;
  return { content: "the worker that wrote the answer is gone", retryable: true };
}
