/**
 * The session as a state machine: events go in, effects come out.
 *
 * `step` is deterministic: no promise, no clock, no randomness. It changes the state in place. It first handles the event, then
 * does everything the new state allows: adopts and starts turns, reads the log, composes the next write.
 */

import type { SessionCall } from "../../protocol/session_call.ts";
import { abortActs, act, nextUserWait, takeActed } from "./act.ts";
import { takeQuery, takeSettlement, takeStop, takeStopCall } from "./ask.ts";
import type { Effect } from "./effect.ts";
import type { SessionEvent } from "./event.ts";
import { foldPage, wantSeq } from "./fold.ts";
import { addNote, eventsFor, fillGap } from "./history.ts";
import { attach, catchUp, endPage, replayed, replayPage, setDeltas } from "./replay.ts";
import {
  canStart,
  dropAttempt,
  goOn,
  loseCall,
  startTurn,
  takeOutcome,
  takeRestart,
  takeText,
} from "./run.ts";
import { adopt, stepTo } from "./holding.ts";
import { settle, takeCommitted, takeDoubt, takeRejected } from "./settle.ts";
import {
  actingTurn,
  isSettling,
  isUpToDate,
  mayRun,
  runningTurn,
  type SessionState,
  type Step,
} from "./state.ts";
import { interruptTurn } from "./stop.ts";
import { askForTail, nextAsk, takeTail, takeTailWanted } from "./tail.ts";
import { takeReasoning } from "./thoughts.ts";
import { hasNewText } from "./turn.ts";
import { nextExpiryOf, nextStart } from "./waiting.ts";
import { sendWrite } from "./write.ts";

/** Delay before a failed read is repeated, in milliseconds. */
const READ_RETRY_MS = 1000;

/** Handles an event and returns the effects, in order. `now` is in milliseconds since the epoch. */
export function step(state: SessionState, event: SessionEvent, now: number): Effect[] {
  const effects: Effect[] = [];
  if (state.life.name === "gone") return effects;
  const at: Step = { state, now, effects };
  take(at, event);
  // A piece of text or reasoning changes only its turn.
  if (event.kind !== "text" && event.kind !== "reasoning") advance(at);
  return effects;
}

/** When the session needs a `wake`, in milliseconds since the epoch; undefined if nothing waits for time to pass. */
export function wakeAt(state: SessionState, now: number): number | undefined {
  let at: number | undefined;
  const due = (time: number | undefined): void => {
    if (time !== undefined && time !== Infinity && (at === undefined || time < at)) at = time;
  };
  const { life, lease, log, flight, settings } = state;
  if (life.name === "gone") return undefined;
  const running = runningTurn(state);
  const isActive = running !== undefined || actingTurn(state) !== undefined;
  if (flight === undefined) {
    if (lease.name === "in_doubt") due(lease.retryAt);
    if (lease.name === "other" && life.name === "open" && state.turns.size > 0) due(lease.until);
    if (lease.name === "held" && isActive) {
      if (running !== undefined && hasNewText(running)) due(running.checkpointAt);
      if (settings.checkpointMs !== Infinity) due(lease.renewedAt + settings.renewLeaseMs);
    }
  }
  if (life.name === "draining") due(life.deadline);
  if (log.wantedSeq > log.lastSeq && log.reading.name === "idle") due(log.reading.retryAt);
  const { gap } = state.history;
  if (gap?.reading.name === "idle") due(gap.reading.retryAt);
  due(nextAsk(state));
  if (life.name === "open") due(nextExpiryOf(state, now));
  due(nextUserWait(state, now));
  return at;
}

function take(at: Step, event: SessionEvent): void {
  const { state } = at;
  switch (event.kind) {
    case "text":
      return takeText(at, event.call, event.text);
    case "reasoning":
      return takeReasoning(at, event.call, event.text);
    case "restarted":
      return takeRestart(at, event.call);
    case "model_ended":
      return takeOutcome(at, event.call, event.outcome);
    case "attach":
      return attach(at, event);
    case "detach":
      return void state.connections.delete(event.connectionId);
    case "set_deltas":
      return setDeltas(at, event.connectionId, event.wantsDeltas);
    case "acted":
      return takeActed(at, event.callId, event.outcome);
    case "settle_call":
      return takeSettlement(at, event);
    case "replayed":
      return replayed(at, event.connectionId, event.seq);
    case "ask":
      return takeQuery(at, event);
    case "stop":
      return takeStop(at, event);
    case "append":
      return void state.intents.push({ kind: "append", wish: event.wish, event: event.event });
    case "touch":
      return void state.intents.push({ kind: "touch" });
    case "noted":
      addNote(state.history, event.comment);
      return void at.effects.push({ kind: "send", call: { kind: "noted", comment: event.comment } });
    case "committed":
      return takeCommitted(at, event.number, event.answer);
    case "rejected":
      return takeRejected(at, event.number, event.code);
    case "in_doubt":
      return takeDoubt(at, event.number);
    case "page":
      return takePage(at, event);
    case "read_failed":
      return takeReadFailed(at, event);
    case "recalled":
      return fillGap(state.history, event.beforeSeq, event.page);
    case "recall_failed":
      return takeRecallFailed(at, event);
    case "head":
      return wantSeq(at, event.seq);
    case "called":
      return takeCall(at, event.call);
    case "wake":
      return;
    case "drain":
      state.life = { name: "draining", deadline: event.deadline, leave: event.leave };
      return;
    case "abandon":
      return abandon(at);
  }
}

/** Does everything that the state now allows. */
function advance(at: Step): void {
  const { state } = at;
  if (at.effects.some(({ kind }) => kind === "gone")) abandon(at);
  if (state.life.name === "gone") return;
  catchUp(at);
  settle(at);
  if (state.life.name === "draining") drain(at);
  if (mayRun(state) && !isSettling(state)) {
    for (const turn of [...state.turns.values()]) if (turn.phase === "remote") adopt(at, turn, undefined);
  }
  const settled = act(at);
  if (settled !== undefined && state.life.name === "open" && state.history.gap === undefined) {
    goOn(at, settled);
  }
  if (canStart(state) && !isSettling(state) && isUpToDate(state)) {
    const next = nextStart(at);
    if (next !== undefined) startTurn(at, next, { isStarted: false });
  }
  readOn(at);
  recall(at);
  sendWrite(at);
  askForTail(at);
  if (!isDrained(state)) return;
  abandon(at);
  at.effects.push({ kind: "drained" });
}

/** When the drain deadline has passed: interrupts the running turn, or hands it over to another worker. */
function drain(at: Step): void {
  const { state, now } = at;
  if (state.life.name !== "draining") return;
  const { deadline, leave } = state.life;
  const why = { content: "the worker was replaced before the answer was done", retryable: true };
  for (const turn of [...state.turns.values()]) {
    if (leave === "interrupt" && turn.phase === "queued") interruptTurn(at, turn, why);
    const isActive = turn.phase === "running" || turn.phase === "acting";
    if (leave === "interrupt" && isActive && now >= deadline) interruptTurn(at, turn, why);
  }
  if (now >= deadline) state.life = { name: "leaving" };
}

/** Reports `drained` once there is nothing left to do here; the session is then gone from this worker. */
function isDrained({ life, lease, flight, turns, intents }: SessionState): boolean {
  if (life.name === "open" || life.name === "gone") return false;
  // The store is out of reach. Another worker takes over when the lease expires.
  if (life.name === "leaving" && lease.name === "in_doubt") return true;
  if (flight !== undefined || lease.name === "held" || intents.length > 0) return false;
  for (const { phase } of turns.values()) if (phase !== "remote") return false;
  return true;
}

/** Reads the log if it is known to have more. */
function readOn({ state, now, effects }: Step): void {
  const { log } = state;
  if (log.wantedSeq <= log.lastSeq || log.reading.name !== "idle" || now < log.reading.retryAt) return;
  log.reading = { name: "in_flight", wantedSeq: log.wantedSeq };
  effects.push({ kind: "read", purpose: { for: "log" }, afterSeq: log.lastSeq });
}

/** Reads the conversation before a `rewound` event, if this worker has dropped some of it. */
function recall({ state: { history }, now, effects }: Step): void {
  const { gap } = history;
  if (gap?.reading.name !== "idle" || now < gap.reading.retryAt) return;
  gap.reading = { name: "in_flight" };
  effects.push({ kind: "recall", beforeSeq: gap.beforeSeq, limit: eventsFor(history.maxMessages) });
}

type Page = Extract<SessionEvent, { kind: "page" }>;
type RecallFailed = Extract<SessionEvent, { kind: "recall_failed" }>;
type ReadFailed = Extract<SessionEvent, { kind: "read_failed" }>;

function takePage(at: Step, { purpose, page }: Page): void {
  switch (purpose.for) {
    case "log":
      stepTo(at, { kind: "read", lease: page.lease, now: at.now });
      return foldPage(at, page);
    case "replay":
      wantSeq(at, page.lastSeq);
      return replayPage(at, purpose.connectionId, page);
    case "end":
      return endPage(at, purpose, page);
  }
}

function takeReadFailed({ state, now, effects }: Step, { purpose, code }: ReadFailed): void {
  if (code === "unknown_session") return void effects.push({ kind: "gone" });
  effects.push({ kind: "log", event: "read_failed", code });
  switch (purpose.for) {
    case "log":
      state.log.reading = { name: "idle", retryAt: now + READ_RETRY_MS };
      return;
    case "replay":
      // The client will reconnect, and gets an error if the store is still out of reach.
      return void effects.push({ kind: "close_slow", connectionId: purpose.connectionId });
    case "end": {
      const { connectionId, queryId } = purpose;
      return void effects.push({ kind: "refuse", to: [connectionId], queryId, refusal: { code } });
    }
  }
}

function takeRecallFailed({ state, now, effects }: Step, { beforeSeq, code }: RecallFailed): void {
  if (code === "unknown_session") return void effects.push({ kind: "gone" });
  effects.push({ kind: "log", event: "read_failed", code });
  const { gap } = state.history;
  if (gap?.beforeSeq === beforeSeq) gap.reading = { name: "idle", retryAt: now + READ_RETRY_MS };
}

function takeCall(at: Step, call: SessionCall): void {
  const { state } = at;
  switch (call.kind) {
    case "appended":
      // There is no connection to show it to. It is read when one attaches.
      if (state.connections.size > 0 || state.turns.size > 0 || state.flight !== undefined) {
        wantSeq(at, call.seq);
      }
      return;
    case "released":
      return stepTo(at, {
        kind: "read",
        lease: { epoch: call.epoch, holder: "nobody", leftMs: 0 },
        now: at.now,
      });
    case "stop":
      return takeStopCall(at, call.queryIds, call.reason);
    case "tail_wanted":
      return takeTailWanted(at, call.have);
    case "tail":
      return takeTail(at, call);
    case "noted":
      return addNote(state.history, call.comment);
    case "deleted":
      return void at.effects.push({ kind: "gone" });
  }
}

function abandon(at: Step): void {
  const { state } = at;
  state.life = { name: "gone" };
  for (const turn of state.turns.values()) {
    if (turn.phase === "running") loseCall(at, turn);
    if (turn.phase === "acting") abortActs(at, turn);
    if (turn.phase === "proposed") dropAttempt(at, turn);
  }
}
