/**
 * Deltas between workers. A worker with connections that watch another worker's turn asks for its text; the worker that runs
 * the turn sends pieces as long as it is asked.
 */

import type { SessionCall } from "../../protocol/session_call.ts";
import { showText } from "./show.ts";
import { liveConnections, type SessionState, type Step } from "./state.ts";
import type { ActingTurn, RunningTurn } from "./turn.ts";

/** How long text is sent after the last request for it, in milliseconds. */
const WANTED_MS = 15_000;
/** How often a request is renewed, in milliseconds. */
const RENEW_MS = 5000;
/** Shortest time between two requests for missing text, in milliseconds. */
const ASK_AGAIN_MS = 250;

type Piece = Extract<SessionCall, { kind: "tail" }>;
type Have = Extract<SessionCall, { kind: "tail_wanted" }>["have"];

/** Sends a running turn's text from `offset` on, if another worker has asked for it. */
export function sendTail(
  { state, now, effects }: Step,
  { query, restarts, text }: RunningTurn | ActingTurn,
  offset: number,
): void {
  if (state.lease.name !== "held" || now >= state.tailWantedUntil) return;
  const { turnId, queryId } = query;
  const { epoch } = state.lease;
  const content = text.slice(offset);
  effects.push({ kind: "send", call: { kind: "tail", epoch, restarts, turnId, queryId, offset, content } });
}

/** Another worker asks for the text after what it has. */
export function takeTailWanted(step: Step, have: Have): void {
  const { state, now } = step;
  state.tailWantedUntil = now + WANTED_MS;
  for (const turn of state.turns.values()) {
    if (turn.phase !== "running" && turn.phase !== "acting") continue;
    const isOurs = have?.epoch === state.lease.epoch && have.turnId === turn.query.turnId &&
      (have.restarts ?? 0) === turn.restarts;
    sendTail(step, turn, isOurs ? have.offset : 0);
  }
}

/**
 * A piece of another worker's text. If a piece before it is missing, the text is requested again. A piece of an older epoch
 * is ignored, because its worker has lost the lease, and so is one from before the answer began again.
 */
export function takeTail(
  step: Step,
  { epoch, restarts = 0, turnId, queryId, offset, content }: Piece,
): void {
  const turn = step.state.turns.get(queryId);
  if (turn?.phase !== "remote" || turn.query.turnId !== turnId) return;
  const { shown } = turn;
  if (epoch < shown.epoch || epoch < step.state.lease.epoch) return;
  if (epoch === shown.epoch && restarts < shown.restarts) return;
  const isSame = epoch === shown.epoch && restarts === shown.restarts;
  if (offset > (isSame ? shown.text.length : 0)) return askForTail(step, ASK_AGAIN_MS);
  // It may come twice, or overlap: text that was shown is not shown again.
  const known = isSame ? shown.text.slice(offset, offset + content.length) : "";
  const isMore = content.startsWith(known);
  const start = isMore ? offset + known.length : offset;
  const rest = isMore ? content.slice(known.length) : content;
  if (isSame && isMore && rest === "") return;
  turn.shown = { epoch, restarts, text: shown.text.slice(0, start) + rest };
  if (rest !== "" || start < shown.text.length) showText(step, turn, start, rest);
}

/** Asks the worker that runs the turn for its text, while a connection here wants deltas. */
export function askForTail({ state, now, effects }: Step, everyMs: number = RENEW_MS): void {
  if (!wantsTail(state) || now - state.tailAskedAt < everyMs) return;
  state.tailAskedAt = now;
  let have: Have;
  for (const turn of state.turns.values()) {
    if (turn.phase !== "remote" || turn.shown.epoch === 0) continue;
    const { query: { turnId }, shown: { epoch, restarts, text } } = turn;
    have = { epoch, restarts, turnId, offset: text.length };
  }
  effects.push({ kind: "send", call: { kind: "tail_wanted", ...(have && { have }) } });
}

/** When the request is renewed, in milliseconds since the epoch; undefined if no connection wants deltas. */
export function nextAsk(state: SessionState): number | undefined {
  return wantsTail(state) ? state.tailAskedAt + RENEW_MS : undefined;
}

function wantsTail(state: SessionState): boolean {
  if (state.lease.name === "held" || !hasRemoteTurn(state)) return false;
  return liveConnections(state).some((id) => state.connections.get(id)?.wantsDeltas === true);
}

function hasRemoteTurn({ turns }: SessionState): boolean {
  for (const { phase } of turns.values()) if (phase === "remote") return true;
  return false;
}
