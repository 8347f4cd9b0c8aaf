/** The conversation as the model sees it: a fold over the log, the same at every worker. */

import type { VisiblePage } from "../../ports/event_log.ts";
import type { ModelMessage } from "../../ports/model.ts";
import type { LogEvent, Logged, QueryEvent, RewoundEvent } from "../../protocol/log_event.ts";
import { withoutThoughts } from "../../think_tags.ts";
import { emptyMap, type LazyMap, withEntry, withoutEntry } from "./lazy_map.ts";

type Asked = Pick<QueryEvent, "content" | "feedback">;

/** A question and its answer. The model sees a question only together with its answer. */
export interface Exchange {
  /** Of the question. */
  seq: number;
  question: string;
  answer: string;
}

/** The exchanges before a `rewound` event, of which this worker has dropped some. */
export interface Gap {
  /** The event's `seq`. */
  beforeSeq: number;
  reading: { name: "idle"; retryAt: number } | { name: "in_flight" };
}

export interface History {
  /** In the order of their answers, oldest first; those before `gap` are missing. */
  exchanges: Exchange[];
  /** Questions without an answer yet, by query id. */
  open: LazyMap<string, Asked & { seq: number }>;
  /** Comments of `modify` feedback that wait for the next query. */
  notes: string[];
  /** Whether the log may have exchanges before these. */
  hasEarlier: boolean;
  /** Set while the beginning has to be read. No turn starts before that. */
  gap: Gap | undefined;
  /** How many messages are kept, including the current question. */
  readonly maxMessages: number;
}

export function emptyHistory(maxMessages: number): History {
  return {
    exchanges: [],
    open: emptyMap(),
    notes: [],
    hasEarlier: false,
    gap: undefined,
    maxMessages,
  };
}

/** Folds an event of the log. Events come in the order of `seq`, each once. */
export function foldHistory(history: History, event: LogEvent): void {
  switch (event.kind) {
    case "query": {
      const { seq, content, feedback } = event;
      history.open = withEntry(history.open, event.queryId, { seq, content, feedback });
      // The query carries the feedback, whichever worker accepted it, so the feedback no longer waits.
      if (feedback.length > 0) {
        history.notes = history.notes.filter((note) => !feedback.includes(note));
      }
      return;
    }
    case "response":
      return close(history, event.queryId, event.content);
    case "cancelled":
      return close(history, event.queryId, event.partial);
    case "error":
      // An interrupted answer was cut short, like a cancelled one. Any other error is not an answer.
      return close(history, event.queryId, event.code === "interrupted" ? event.partial : "");
    case "rewound":
      return rewind(history, event);
    case "cleared":
      history.exchanges = [];
      history.notes = [];
      history.open = emptyMap();
      history.hasEarlier = false;
      history.gap = undefined;
      return;
    case "configured":
    case "notification":
    case "tool_call":
    case "approval_requested":
    case "approval_decided":
    case "tool_started":
    case "tool_result":
      return;
  }
}

/** Adds what the log has before the gap. A page for another gap, one that is no longer there, changes nothing. */
export function fillGap(history: History, beforeSeq: number, { events, isFirst }: VisiblePage): void {
  if (history.gap?.beforeSeq !== beforeSeq) return;
  const earlier = emptyHistory(history.maxMessages);
  for (const event of events) foldHistory(earlier, event);
  const isCleared = events.some(({ kind }) => kind === "cleared");
  history.hasEarlier = earlier.hasEarlier || !isFirst && !isCleared;
  history.gap = undefined;
  history.exchanges = [...earlier.exchanges, ...history.exchanges];
  trim(history);
}

/** How many of the newest events are read to have the history. */
export function eventsFor(maxMessages: number): number {
  return 2 * maxMessages + SPARE_EVENTS;
}

/** Keeps a `modify` comment for the next query. Beyond `maxMessages` comments the oldest is dropped. */
export function addNote(history: History, comment: string): void {
  history.notes.push(comment);
  if (history.notes.length > history.maxMessages) history.notes.shift();
}

/** The messages for a question: the newest history that fits, then the question. The driver adds the system prompt. */
export function promptFor({ exchanges, maxMessages }: History, query: Asked): ModelMessage[] {
  const room = Math.floor((maxMessages - 1) / 2);
  const messages: ModelMessage[] = [];
  for (const { question, answer } of exchanges.slice(Math.max(0, exchanges.length - room))) {
    messages.push({ role: "user", content: question }, { role: "assistant", content: answer });
  }
  messages.push({ role: "user", content: wordsOf(query) });
  return messages;
}

/** Events that are no messages: notifications, settings. */
const SPARE_EVENTS = 50;

/**
 * Forgets what is superseded. If that makes room for exchanges that were dropped, everything before the event is read again: simpler
 * than to find out which ones are missing.
 */
function rewind(history: History, { seq: beforeSeq, fromSeq }: RewoundEvent & Logged): void {
  const { exchanges } = history;
  for (const [queryId, { seq }] of history.open) {
    if (seq >= fromSeq) history.open = withoutEntry(history.open, queryId);
  }
  history.exchanges = exchanges.filter(({ seq }) => seq < fromSeq);
  const isShort = history.exchanges.length < Math.min(exchanges.length, keptExchanges(history));
  if (history.gap === undefined && !(isShort && history.hasEarlier)) return;
  history.exchanges = [];
  history.gap = { beforeSeq, reading: { name: "idle", retryAt: 0 } };
}

function close(history: History, queryId: string, text: string): void {
  // `THINK_TAGS=leave` shows thoughts as text, but the model never sees them again.
  const answer = withoutThoughts(text);
  const asked = history.open.get(queryId);
  if (asked === undefined) return;
  history.open = withoutEntry(history.open, queryId);
  if (answer === "") {
    // No answer: the question is not part of the history, but its feedback goes to the next question.
    history.notes.unshift(...asked.feedback);
    return;
  }
  history.exchanges.push({ seq: asked.seq, question: wordsOf(asked), answer });
  trim(history);
}

function keptExchanges({ maxMessages }: History): number {
  return Math.floor(maxMessages / 2);
}

function trim(history: History): void {
  const kept = keptExchanges(history);
  if (history.exchanges.length <= kept) return;
  history.exchanges = history.exchanges.slice(history.exchanges.length - kept);
  history.hasEarlier = true;
}

function wordsOf({ content, feedback }: Asked): string {
  if (feedback.length === 0) return content;
  const notes = feedback.map((comment) => `[Feedback on your earlier answer: ${comment}]`).join("\n");
  return `${notes}\n\n${content}`;
}
