/**
 * The reasoning of a model: what it thinks before and while it answers. It is live only. It is lost with its model call, and is
 * neither in the log nor in a prompt, and other workers do not get it.
 */

import { type ConnectionView, runningTurn, type Step } from "./state.ts";
import type { EndingTurn, RunningTurn, Turn } from "./turn.ts";

/** The reasoning of a turn that is kept and shown, in UTF-16 units. Longer reasoning is cut off there, and ends with `…`. */
export const MAX_THOUGHT_CHARS = 65_536;

/** Handles a piece of reasoning from the model. */
export function takeReasoning(step: Step, call: number, text: string): void {
  for (const turn of step.state.turns.values()) {
    if (turn.phase === "running" && turn.call === call) {
      const offset = turn.thoughts.length;
      const piece = cut(text, MAX_THOUGHT_CHARS - offset);
      turn.thoughts += piece;
      return showThoughts(step, turn, offset, piece);
    }
    if (turn.phase === "proposed" && turn.attempt.name === "calling" && turn.attempt.call === call) {
      turn.attempt.thoughts += cut(text, MAX_THOUGHT_CHARS - turn.attempt.thoughts.length);
      return;
    }
  }
}

/** Shows a piece of a turn's reasoning to the connections that want it. The turn runs, or its early model call has just ended it. */
export function showThoughts(
  { state, effects }: Step,
  { query: { turnId, queryId } }: RunningTurn | EndingTurn,
  offset: number,
  content: string,
): void {
  if (content === "") return;
  const to: string[] = [];
  for (const { id, wantsReasoning, replay } of state.connections.values()) {
    if (wantsReasoning && replay.name === "live") to.push(id);
  }
  if (to.length === 0) return;
  effects.push({ kind: "reasoning", turnId, queryId, offset, content, to });
}

/** Shows the reasoning so far to a connection that has just become live. */
export function announceThoughts({ state, effects }: Step, { id, wantsReasoning }: ConnectionView): void {
  const turn = runningTurn(state);
  if (!wantsReasoning || turn === undefined || turn.thoughts === "") return;
  const { query: { turnId, queryId }, thoughts: content } = turn;
  effects.push({ kind: "reasoning", turnId, queryId, offset: 0, content, to: [id] });
}

/** The reasoning of a turn so far. Of a turn that this worker does not run there is none. */
export function thoughtsOf(turn: Turn): string {
  if (turn.phase === "running") return turn.thoughts;
  return turn.phase === "proposed" && turn.attempt.name !== "none" ? turn.attempt.thoughts : "";
}

/** The part of a text for which there is room. The `…` of a text that was cut exceeds the room, so nothing follows it. */
function cut(text: string, room: number): string {
  if (text.length <= room) return text;
  if (room < 0) return "";
  const isPairSplit = /[\ud800-\udbff]$/.test(text.slice(0, room));
  return `${text.slice(0, isPairSplit ? room + 1 : room)}…`;
}
