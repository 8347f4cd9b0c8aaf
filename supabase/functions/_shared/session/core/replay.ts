/** Connections and their replays. A connection is live once it was shown every event up to the newest. */

import type { LogPage } from "../../ports/event_log.ts";
import { isTerminal } from "../../protocol/log_event.ts";
import { repeatEnd } from "./ask.ts";
import type { ReadPurpose } from "./effect.ts";
import { wantSeq } from "./fold.ts";
import type { SessionEvent } from "./event.ts";
import { acknowledge, announceText } from "./show.ts";
import type { ConnectionView, Owed, Step } from "./state.ts";
import { announceThoughts } from "./thoughts.ts";

type Attach = Extract<SessionEvent, { kind: "attach" }>;

/**
 * After this time this worker has read every query that the client may have sent to another worker: a write is tried for 15
 * seconds, and the log is polled every 15 seconds.
 */
const RESEND_WINDOW_MS = 30_000;

/** Adds a connection with its cursor. */
export function attach(step: Step, attached: Attach): void {
  const { connectionId, cursor, wantsDeltas, wantsReasoning, isResumed } = attached;
  const connection: ConnectionView = {
    id: connectionId,
    wantsDeltas,
    wantsReasoning,
    mayRepeatUntil: isResumed ? step.now + RESEND_WINDOW_MS : 0,
    cursor,
    replay: { name: "reading", owed: [] },
  };
  step.state.connections.set(connectionId, connection);
  readOn(step, connection, []);
}

/** Starts the replay of connections whose cursor was ahead, once the log was read that far. */
export function catchUp(step: Step): void {
  const { connections, log } = step.state;
  for (const connection of connections.values()) {
    const { replay, cursor } = connection;
    if (replay.name === "ahead" && cursor <= log.lastSeq) readOn(step, connection, replay.owed);
  }
}

export function setDeltas(step: Step, connectionId: string, wantsDeltas: boolean): void {
  const connection = step.state.connections.get(connectionId);
  if (connection === undefined || connection.wantsDeltas === wantsDeltas) return;
  connection.wantsDeltas = wantsDeltas;
  // The next delta continues from here.
  if (wantsDeltas && connection.replay.name === "live") announceText(step, connectionId);
}

/** A page for a replay. The connection is shown nothing that this worker has not folded itself. */
export function replayPage(step: Step, connectionId: string, page: LogPage): void {
  const { state, effects } = step;
  const connection = state.connections.get(connectionId);
  if (connection?.replay.name !== "reading") return;
  const events = page.events.filter(({ seq }) => seq > connection.cursor && seq <= state.log.lastSeq);
  const [first] = events;
  if (first === undefined || first.seq !== connection.cursor + 1) {
    return void effects.push({ kind: "close_slow", connectionId });
  }
  const upTo = events.at(-1)?.seq ?? connection.cursor;
  connection.replay = { name: "sending", owed: connection.replay.owed, upTo };
  effects.push({ kind: "replay", connectionId, events });
}

/** The page was sent to the connection. */
export function replayed(step: Step, connectionId: string, seq: number): void {
  const connection = step.state.connections.get(connectionId);
  if (connection?.replay.name !== "sending") return;
  connection.cursor = seq;
  readOn(step, connection, connection.replay.owed);
}

/** A page that was read to find the terminal event of a turn. */
export function endPage(step: Step, purpose: Extract<ReadPurpose, { for: "end" }>, page: LogPage): void {
  const { state, effects } = step;
  const { connectionId, queryId, turnId } = purpose;
  if (!state.connections.has(connectionId)) return;
  for (const event of page.events) {
    if (isTerminal(event) && event.turnId === turnId) {
      return void effects.push({ kind: "repeat_end", connectionId, event });
    }
  }
  const last = page.events.at(-1)?.seq;
  if (last !== undefined && last < page.lastSeq) {
    return void effects.push({ kind: "read", purpose, afterSeq: last });
  }
  if (state.turns.has(queryId)) return acknowledge(step, queryId, [connectionId]);
  // The log no longer has it, so forget it here too: the same id is a new query from now on.
  state.ended.delete(queryId);
  effects.push({ kind: "refuse", to: [connectionId], queryId, refusal: { code: "store_unavailable" } });
}

function readOn(step: Step, connection: ConnectionView, owed: Owed[]): void {
  const { state, effects } = step;
  const { id, cursor } = connection;
  if (cursor < state.log.lastSeq) {
    connection.replay = { name: "reading", owed };
    return void effects.push({
      kind: "read",
      purpose: { for: "replay", connectionId: id },
      afterSeq: cursor,
    });
  }
  if (cursor > state.log.lastSeq) {
    connection.replay = { name: "ahead", owed };
    return wantSeq(step, cursor);
  }
  connection.replay = { name: "live" };
  announceThoughts(step, connection);
  announceText(step, id);
  for (const { queryId, seenSeq } of owed) {
    const end = state.ended.get(queryId);
    if (state.turns.has(queryId)) acknowledge(step, queryId, [id]);
    else if (end !== undefined && end.endSeq <= seenSeq) repeatEnd(step, queryId, id);
  }
}
