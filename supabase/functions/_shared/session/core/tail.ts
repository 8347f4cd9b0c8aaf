/**
 * Text between workers. A worker that shows an answer but does not write it asks for its text; the one that writes it sends
 * pieces for as long as someone asks.
 */

import type { SessionCall } from "../../protocol/session_call.ts";
import { showText } from "./show.ts";
import { liveConnections, type SessionState, type Step } from "./state.ts";
import type { RunningTurn } from "./turn.ts";

/** For so long after it was asked for last the text is sent. */
const WANTED_MS = 15_000;
/** Who still wants it says so this often. */
const RENEW_MS = 5000;
/** A missing piece is asked for this often at most. */
const ASK_AGAIN_MS = 250;

type Piece = Extract<SessionCall, { kind: "tail" }>;
type Have = Extract<SessionCall, { kind: "tail_wanted" }>["have"];

/** Sends a running turn's text from `offset` on, if another worker wants it. */
export function sendTail({ state, now, effects }: Step, { query, text }: RunningTurn, offset: number): void {
  if (state.lease.name !== "held" || now >= state.tailWantedUntil) return;
  const { turnId, queryId } = query;
  const { epoch } = state.lease;
  const content = text.slice(offset);
  effects.push({ kind: "send", call: { kind: "tail", epoch, turnId, queryId, offset, content } });
}

/** Another worker wants the text, behind what it has. */
export function takeTailWanted(step: Step, have: Have): void {
  const { state, now } = step;
  state.tailWantedUntil = now + WANTED_MS;
  for (const turn of state.turns.values()) {
    if (turn.phase !== "running") continue;
    const isOurs = have?.epoch === state.lease.epoch && have.turnId === turn.query.turnId;
    sendTail(step, turn, isOurs ? have.offset : 0);
  }
}

/**
 * A piece of another worker's text. Where one before it is missing all is asked for; one from a worker that has lost its
 * lease since is nobody's answer any more.
 */
export function takeTail(step: Step, { epoch, turnId, queryId, offset, content }: Piece): void {
  const turn = step.state.turns.get(queryId);
  if (turn?.phase !== "remote" || turn.query.turnId !== turnId) return;
  const { shown } = turn;
  if (epoch < shown.epoch || epoch < step.state.lease.epoch) return;
  const isSame = epoch === shown.epoch;
  if (offset > (isSame ? shown.text.length : 0)) return askForTail(step, ASK_AGAIN_MS);
  // It may come twice, or for someone who had less of it: what is shown is not shown again.
  const known = isSame ? shown.text.slice(offset, offset + content.length) : "";
  const isMore = content.startsWith(known);
  const start = isMore ? offset + known.length : offset;
  const rest = isMore ? content.slice(known.length) : content;
  if (isSame && isMore && rest === "") return;
  turn.shown = { epoch, text: shown.text.slice(0, start) + rest };
  if (rest !== "" || start < shown.text.length) showText(step, turn, start, rest);
}

/** Asks the worker that writes for its text, while someone here wants it. */
export function askForTail({ state, now, effects }: Step, everyMs: number = RENEW_MS): void {
  if (!wantsTail(state) || now - state.tailAskedAt < everyMs) return;
  state.tailAskedAt = now;
  let have: Have;
  for (const turn of state.turns.values()) {
    if (turn.phase !== "remote" || turn.shown.epoch === 0) continue;
    const { query: { turnId }, shown: { epoch, text } } = turn;
    have = { epoch, turnId, offset: text.length };
  }
  effects.push({ kind: "send", call: { kind: "tail_wanted", ...(have && { have }) } });
}

/** When it is to be asked for again; undefined where nobody wants it. */
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
