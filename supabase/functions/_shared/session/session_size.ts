/** What one session keeps at this worker, counted without looking at every query that it remembers. */

import type { SessionSize } from "../guard/memory_budget.ts";
import type { SessionState } from "./core/state.ts";
import { thoughtsOf } from "./core/thoughts.ts";

export function measureSession({ history, turns, ended, endedChars }: SessionState): SessionSize {
  let messageChars = 0;
  for (const { question, answer } of history.exchanges) messageChars += question.length + answer.length;
  let noteChars = 0;
  for (const note of history.notes) noteChars += note.length;
  let queryChars = endedChars;
  let unloggedChars = 0;
  let thoughtChars = 0;
  for (const turn of turns.values()) {
    const { length } = turn.query.content;
    thoughtChars += thoughtsOf(turn).length;
    if (turn.phase === "proposed" && turn.write === "due") unloggedChars += length;
    else queryChars += length;
  }
  return {
    messages: 2 * history.exchanges.length,
    messageChars,
    notes: history.notes.length,
    noteChars,
    queries: turns.size + ended.size,
    queryChars,
    unloggedChars,
    thoughtChars,
  };
}
