/** What a model is asked: the conversation as the log has it, and nothing that was superseded. */

import {
  isTerminal,
  type LogEvent,
  type QueryEvent,
} from "../../supabase/functions/_shared/protocol/log_event.ts";
import type { Effect } from "../../supabase/functions/_shared/session/core/effect.ts";
import { textOf } from "../../supabase/functions/_shared/session/core/turn.ts";
import { check } from "./observer.ts";
import { supersededTurns } from "./store.ts";
import type { Worker, World } from "./world_state.ts";

/** Checks the prompt of a model call against the log, up to where its worker has read it. */
export function checkPrompt(
  { store, settings: { maxHistory } }: World,
  { id, state }: Worker,
  { messages, query: { queryId, turnId, replaces } }: Extract<Effect, { kind: "ask" }>,
): void {
  const log = store.events.slice(0, state.log.lastSeq);
  check(!supersededTurns(log).has(turnId), () => `${id} asks the model for ${queryId}, which is superseded`);
  check(
    replaces === undefined || log.some((event) => event.kind === "query" && event.turnId === turnId),
    () => `${id} asks the model for ${queryId} before the log says what it replaces`,
  );
  // What a worker reads again may leave out what an event supersedes that the worker has not read yet. That event supersedes this turn
  // too, because its place is before what is left out, so the turn is about to be stopped.
  if (supersededTurns(store.events).has(turnId)) return;
  const room = Math.floor((maxHistory - 1) / 2);
  const expected = exchangesOf(log).slice(-room).flat();
  const own = messages.findIndex(({ role, calls }) => role === "tool" || calls !== undefined);
  const asked = messages.slice(0, (own < 0 ? messages.length : own) - 1).map(({ content }) => content);
  check(
    expected.length === asked.length && expected.every((content, index) => content === asked[index]),
    () =>
      `${id} asks the model for ${queryId} after ${JSON.stringify(asked)}, not ${JSON.stringify(expected)}`,
  );
}

/**
 * Checks that what becomes an answer had a prompt that knew the conversation up to its question, whether its model call goes on or
 * has ended by then.
 */
export function checkKnown({ store }: World, { id, state, known }: Worker): void {
  for (const [turnId, seq] of known) {
    const turn = state.turns.values().find(({ query }) => query.turnId === turnId);
    if (turn?.phase === "proposed" && turn.attempt.name !== "none") continue;
    known.delete(turnId);
    if (turn?.phase !== "running" && turn?.phase !== "acting" && turn?.phase !== "ending") continue;
    if (turn.phase === "ending" && textOf(turn.end) === "") continue;
    const missing = store.events.slice(seq, turn.seq - 1).filter((event) =>
      isTerminal(event) || event.kind === "rewound" || event.kind === "cleared"
    );
    check(
      missing.length === 0,
      () => `${id} answers ${turn.query.queryId} without ${missing.map(({ kind }) => kind)} before it`,
    );
  }
}

/** The questions with their answers, in the order of the answers. */
function exchangesOf(log: readonly LogEvent[]): [question: string, answer: string][] {
  const superseded = supersededTurns(log);
  const clearedAt = log.findLast(({ kind }) => kind === "cleared")?.seq ?? 0;
  const asked = new Map<string, QueryEvent>();
  const exchanges: [string, string][] = [];
  for (const event of log) {
    if (event.seq < clearedAt) continue;
    if (event.kind === "query") asked.set(event.turnId, event);
    if (!isTerminal(event) || superseded.has(event.turnId)) continue;
    const question = asked.get(event.turnId);
    const answer = event.kind === "error" && event.code !== "interrupted" ? "" : textOf(event);
    if (question !== undefined && answer !== "") exchanges.push([wordsOf(question), answer]);
  }
  return exchanges;
}

function wordsOf({ content, feedback }: QueryEvent): string {
  const notes = feedback.map((comment) => `[Feedback on your earlier answer: ${comment}]\n`).join("");
  return notes === "" ? content : `${notes}\n${content}`;
}
