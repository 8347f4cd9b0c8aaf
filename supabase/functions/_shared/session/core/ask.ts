/** Client requests: queries, stops, and events that are appended to the log unchanged. */

import type { ErrorCode } from "../../errors.ts";
import type { StopRequest } from "../../ports/event_log.ts";
import type { QueuePolicy } from "../../protocol/queueing.ts";
import { findCall } from "./act.ts";
import type { Refusal } from "./effect.ts";
import type { SessionEvent } from "./event.ts";
import { isSameQuestion } from "./fold.ts";
import { put } from "./put.ts";
import { startAttempt } from "./run.ts";
import { acknowledge, owe } from "./show.ts";
import {
  type Intent,
  isSettling,
  isSureHolder,
  isUpToDate,
  mayRun,
  type SessionState,
  type Step,
} from "./state.ts";
import { isMeant, stopTurn } from "./stop.ts";
import type { ProposedTurn, Question, StopReason, Turn } from "./turn.ts";

type Ask = Extract<SessionEvent, { kind: "ask" }>;
type Stop = Extract<SessionEvent, { kind: "stop" }>;
type Settlement = Extract<SessionEvent, { kind: "settle_call" }>;

/** Accepts a query. A query that was sent before is answered with its current state. */
export function takeQuery(step: Step, { query, policy: wanted, refusal }: Ask): void {
  const { state } = step;
  const { queryId, connectionId } = query;
  const known = state.turns.get(queryId) ?? state.ended.get(queryId);
  if (known !== undefined) {
    const asked = "phase" in known ? known.query : known;
    if (!isSameQuestion(query, asked)) return refuse(step, query, { code: "id_conflict" });
    return "phase" in known ? answerOpen(step, known, connectionId) : repeatEnd(step, queryId, connectionId);
  }
  // It stops what it replaces and nothing else, and takes the place of that in the queue.
  const policy = query.replaces === undefined || wanted === "interrupt" ? wanted : "queue";
  const refused = state.life.name === "open"
    ? refusal ?? (query.replaces === undefined ? refuseByQueue(state, policy) : undefined)
    : { code: "shutting_down" } as const;
  if (refused !== undefined) return refuse(step, query, refused);
  const displaces = query.replaces === undefined ? displacedBy(policy) : undefined;
  const carried = new Set<string>();
  for (const turn of state.turns.values()) for (const note of turn.query.feedback) carried.add(note);
  const turn: ProposedTurn = {
    phase: "proposed",
    query: {
      ...query,
      first: policy === "interrupt",
      feedback: state.history.notes.filter((note) => !carried.has(note)),
    },
    attempt: { name: "none" },
    askers: [connectionId],
    write: "due",
    displaces,
    seq: undefined,
  };
  const isAlone = state.turns.size === 0;
  put(state, turn);
  state.lastTurnId = query.turnId;
  const onlyIfIdle = policy === "reject" && !isSureHolder(step);
  // The store stops the turns that this worker may not know of.
  const stop = isSureHolder(step) ? undefined : displaces;
  state.intents.push({ kind: "ask", queryId, stop, onlyIfIdle });
  if (isAlone && mayAskAtOnce(step, turn.query)) startAttempt(step, turn);
}

/** Stops the turns that the request names. Turns that only the store can reach are stopped by a write. */
export function takeStop(step: Step, { wish, stop }: Stop): void {
  const { state, effects } = step;
  const { which, reason } = stop;
  const reached: string[] = [];
  for (const turn of [...state.turns.values()]) {
    if (isMeant(state, turn, which) && stopTurn(step, turn, reason)) reached.push(turn.query.queryId);
  }
  const isFound = typeof which === "object" && reached.length > 0;
  if (isFound || (isSureHolder(step) && which === "running")) {
    return void effects.push({ kind: "answer", wish, result: { ok: true, queryIds: reached } });
  }
  state.intents.push({ kind: "stop", wish, stop, reached });
}

/**
 * Appends what somebody has decided about a call, or a client's result of it, unless there is nothing to decide any more. The first one
 * that is in the log counts, whichever worker has written it.
 */
export function takeSettlement(step: Step, { wish, callId, event }: Settlement): void {
  const { state, effects } = step;
  const found = findCall(state, callId);
  const refuse = (code: ErrorCode): void =>
    void effects.push({ kind: "answer", wish, result: { ok: false, refusal: { code } } });
  const isApproval = event.kind === "approval_decided";
  if (found === undefined || found.call.needs !== (isApproval ? "approval" : "client")) {
    return refuse(isApproval ? "unknown_approval" : "unknown_call");
  }
  const { call, turn: { query: { queryId, turnId } } } = found;
  // A client that has lost its connection sends its decision again.
  if (isApproval && call.decision?.id === event.decisionId) {
    return void effects.push({ kind: "answer", wish, result: { ok: true, queryIds: [queryId] } });
  }
  const isOpen = call.result === undefined && call.decision === undefined && step.now < call.expiresAt;
  if (!isOpen) return refuse("already_decided");
  const of = { queryId, turnId, callId };
  const whole = event.kind === "tool_result" ? { ...event, ...of, name: call.name } : { ...event, ...of };
  state.intents.push({ kind: "settle_call", wish, event: whole });
}

/** Another worker has stopped these turns, and has written that to the store. */
export function takeStopCall(step: Step, queryIds: readonly string[], reason: StopReason): void {
  if (!mayRun(step.state)) return;
  for (const id of queryIds) {
    const turn = step.state.turns.get(id);
    if (turn !== undefined && turn.phase !== "proposed") stopTurn(step, turn, reason);
  }
}

/** Sends the refusal to every connection that waits for the query. */
export function refuseAskers({ effects }: Step, turn: ProposedTurn, refusal: Refusal): void {
  const { askers, query: { queryId } } = turn;
  turn.askers = [];
  if (askers.length > 0) effects.push({ kind: "refuse", to: askers, queryId, refusal });
}

/** Answers a query whose turn has ended: the terminal event is read from the log and sent again. */
export function repeatEnd({ state, effects }: Step, queryId: string, connectionId: string): void {
  const ended = state.ended.get(queryId);
  const connection = state.connections.get(connectionId);
  if (ended === undefined || connection === undefined) return;
  const { turnId, endSeq } = ended;
  if (connection.replay.name !== "live") return owe(connection, queryId);
  effects.push({
    kind: "read",
    purpose: { for: "end", connectionId, queryId, turnId },
    afterSeq: endSeq - 1,
  });
}

function answerOpen(step: Step, turn: Turn, connectionId: string): void {
  if (turn.phase !== "proposed" || turn.seq !== undefined) {
    return acknowledge(step, turn.query.queryId, [connectionId]);
  }
  if (!turn.askers.includes(connectionId)) turn.askers.push(connectionId);
}

function refuse({ effects }: Step, { queryId, connectionId }: Question, refusal: Refusal): void {
  effects.push({ kind: "refuse", to: [connectionId], queryId, refusal });
}

function refuseByQueue(state: SessionState, policy: QueuePolicy): Refusal | undefined {
  const { turns, lease, settings: { maxQueue } } = state;
  if (turns.size === 0) return undefined;
  if (
    policy === "reject" &&
    (lease.name !== "free" || [...turns.values()].some(({ phase }) => phase !== "remote"))
  ) {
    return { code: "busy" };
  }
  // One of them is running. `latest` frees the places it needs.
  return policy !== "latest" && maxQueue > 0 && turns.size > maxQueue ? { code: "queue_full" } : undefined;
}

/** Which turns the query stops. They are stopped once the log has the query: a refused query stops nothing. */
function displacedBy(policy: QueuePolicy): StopRequest | undefined {
  if (policy === "interrupt") return { which: "running", reason: "interrupted" };
  return policy === "latest" ? { which: "waiting", reason: "superseded" } : undefined;
}

/**
 * Whether the model may be called before the question is in the log. A client that has resumed may have sent the question to
 * another worker before. Only the holder of the lease can be sure that no other worker calls the model as well.
 */
function mayAskAtOnce(step: Step, { connectionId, replaces }: Question): boolean {
  const { state } = step;
  const { life, lease, connections, history } = state;
  if (life.name !== "open" || !isUpToDate(state) || isSettling(state)) return false;
  // The log says where the conversation continues from.
  if (replaces !== undefined || history.gap !== undefined) return false;
  // An unwritten intent would change the prompt of this question.
  if (state.intents.some(changesPrompt) || state.flight?.intents.some(changesPrompt)) return false;
  if (isSureHolder(step)) return true;
  const mayRepeatUntil = connections.get(connectionId)?.mayRepeatUntil ?? Infinity;
  return (lease.name === "free" || lease.name === "held") && step.now >= mayRepeatUntil;
}

function changesPrompt(intent: Intent): boolean {
  return intent.kind === "append" && intent.event.kind !== "notification";
}
