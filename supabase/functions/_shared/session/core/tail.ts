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
/** UTF-16 units of a piece: it has to fit a message of the relay. */
const MAX_PIECE_CHARS = 50_000;

type Piece = Extract<SessionCall, { kind: "tail" }>;

/** Sends a running turn's text from `offset` on, if another worker wants it. */
export function sendTail({ state, now, effects }: Step, { query, text }: RunningTurn, offset: number): void {
  if (state.lease.name !== "held" || now >= state.tailWantedUntil) return;
  const { turnId, queryId } = query;
  const { epoch } = state.lease;
  for (let start = offset; start === offset || start < text.length; start += MAX_PIECE_CHARS) {
    const content = text.slice(start, start + MAX_PIECE_CHARS);
    effects.push({ kind: "send", call: { kind: "tail", epoch, turnId, queryId, offset: start, content } });
  }
}

/** Another worker wants the text. */
export function takeTailWanted(step: Step): void {
  const { state, now } = step;
  state.tailWantedUntil = now + WANTED_MS;
  for (const turn of state.turns.values()) if (turn.phase === "running") sendTail(step, turn, 0);
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
  const have = epoch === shown.epoch ? shown.text.length : 0;
  if (offset > have) return askForTail(step, ASK_AGAIN_MS);
  turn.shown = { epoch, text: shown.text.slice(0, offset) + content };
  if (content === "" && offset === shown.text.length) return;
  showText(step, turn, offset, content);
}

/** Asks the worker that writes for its text, while someone here wants it. */
export function askForTail({ state, now, effects }: Step, everyMs: number = RENEW_MS): void {
  if (!wantsTail(state) || now - state.tailAskedAt < everyMs) return;
  state.tailAskedAt = now;
  effects.push({ kind: "send", call: { kind: "tail_wanted" } });
}

/** When it is to be asked for again; undefined where nobody wants it. */
export function nextAsk(state: SessionState): number | undefined {
  return wantsTail(state) ? state.tailAskedAt + RENEW_MS : undefined;
}

function wantsTail(state: SessionState): boolean {
  if (state.lease.name !== "other" || state.turns.size === 0) return false;
  return liveConnections(state).some((id) => state.connections.get(id)?.wantsDeltas === true);
}
