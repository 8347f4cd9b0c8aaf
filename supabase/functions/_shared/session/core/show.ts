/** Output to connections: durable events in the order of `seq`, and the text of turns that have not ended. */

import type { LogEvent } from "../../protocol/log_event.ts";
import type { ConnectionView, SessionState, Step } from "./state.ts";
import { liveConnections } from "./state.ts";
import { position } from "./queue.ts";
import type { ActingTurn, Question, RemoteTurn, RunningTurn } from "./turn.ts";
import { shownOf } from "./turn.ts";

/** Shows an event to every live connection that was not shown it yet. Connections in a replay will reach it there. */
export function showEvent(step: Step, event: LogEvent): void {
  const to: string[] = [];
  const askedBy = event.kind === "query" ? event.connectionId : undefined;
  for (const connection of step.state.connections.values()) {
    if (connection.replay.name !== "live" || connection.cursor >= event.seq) continue;
    connection.cursor = event.seq;
    // The asking connection gets the `seq` with the status that answers its query.
    if (connection.id !== askedBy) to.push(connection.id);
  }
  if (to.length > 0) step.effects.push({ kind: "show", event, to });
}

/**
 * Shows a piece of a turn's text to the connections that want deltas. The type allows only turns whose text may be shown:
 * running turns, and turns of other workers.
 */
export function showText(
  step: Step,
  turn: RunningTurn | ActingTurn | RemoteTurn,
  offset: number,
  content: string,
): void {
  const { query } = turn;
  const to = readersOf(step.state, query);
  if (to.length === 0) return;
  step.effects.push({ kind: "delta", turnId: query.turnId, queryId: query.queryId, offset, content, to });
}

/** Completes the text that was shown of a turn to the text of its terminal event. Called before that event is shown. */
export function completeText(step: Step, query: Question, shown: string, text: string): void {
  if (shown === "" || shown === text) return;
  const to = readersOf(step.state, query);
  if (to.length === 0) return;
  const { turnId, queryId } = query;
  const offset = text.startsWith(shown) ? shown.length : 0;
  step.effects.push({ kind: "delta", turnId, queryId, offset, content: text.slice(offset), to });
}

/** Shows the text so far of all turns to a connection that has just become live. */
export function announceText(step: Step, connectionId: string): void {
  for (const turn of step.state.turns.values()) {
    const content = shownOf(turn);
    if (content === "" || !isReader(step.state, connectionId, turn.query)) continue;
    const { turnId, queryId } = turn.query;
    step.effects.push({ kind: "delta", turnId, queryId, offset: 0, content, to: [connectionId] });
  }
}

/** Sends connections the status of an open query. Connections in a replay get it when they are live. */
export function acknowledge(step: Step, queryId: string, connectionIds: readonly string[]): void {
  const { state, effects } = step;
  const turn = state.turns.get(queryId);
  if (turn === undefined) return;
  const to: string[] = [];
  for (const id of connectionIds) {
    const connection = state.connections.get(id);
    if (connection === undefined) continue;
    if (connection.replay.name === "live") to.push(id);
    else owe(connection, queryId);
  }
  if (to.length === 0) return;
  const { turnId } = turn.query;
  effects.push({ kind: "acknowledge", to, queryId, turnId, seq: turn.seq, position: position(state, turn) });
}

/** Answers a query after the replay. */
export function owe({ replay, cursor }: ConnectionView, queryId: string): void {
  if (replay.name === "live") return;
  const seenSeq = replay.name === "sending" ? replay.upTo : cursor;
  const owed = replay.owed.find((owed) => owed.queryId === queryId);
  if (owed !== undefined) owed.seenSeq = seenSeq;
  else replay.owed.push({ queryId, seenSeq });
}

/** Tells every live connection that a turn has started, except those that get its `seq` in the same step. */
export function announceStart(
  { state, effects }: Step,
  { query: { queryId, turnId } }: RunningTurn | ActingTurn,
  told: readonly string[],
): void {
  const to = liveConnections(state).filter((id) => !told.includes(id));
  if (to.length > 0) effects.push({ kind: "acknowledge", to, queryId, turnId, seq: undefined, position: 0 });
}

function readersOf(state: SessionState, query: Question): string[] {
  const to: string[] = [];
  for (const { id } of state.connections.values()) if (isReader(state, id, query)) to.push(id);
  return to;
}

function isReader(
  { connections }: SessionState,
  connectionId: string,
  { connectionId: askedBy, stream }: Question,
): boolean {
  const connection = connections.get(connectionId);
  if (connection === undefined || connection.replay.name !== "live") return false;
  return connectionId === askedBy && stream !== undefined ? stream : connection.wantsDeltas;
}
