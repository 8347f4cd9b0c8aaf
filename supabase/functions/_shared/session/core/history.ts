/** The conversation as the model sees it: a fold over the log, the same at every worker. */

import type { ModelMessage } from "../../ports/model.ts";
import type { LogEvent, QueryEvent } from "../../protocol/log_event.ts";
import { withoutThoughts } from "../../think_tags.ts";
import { emptyMap, type LazyMap, withEntry, withoutEntry } from "./lazy_map.ts";

type Asked = Pick<QueryEvent, "content" | "feedback">;

export interface History {
  /** Questions and their answers, oldest first. */
  messages: ModelMessage[];
  /** Questions without an answer yet, by query id. The model sees a question only together with its answer. */
  open: LazyMap<string, Asked>;
  /** Comments of `modify` feedback that wait for the next query. */
  notes: string[];
  /** How many messages are kept, including the current question. */
  readonly maxMessages: number;
}

export function emptyHistory(maxMessages: number): History {
  return { messages: [], open: emptyMap(), notes: [], maxMessages };
}

/** Folds an event of the log. Events come in the order of `seq`, each once. */
export function foldHistory(history: History, event: LogEvent): void {
  switch (event.kind) {
    case "query":
      history.open = withEntry(history.open, event.queryId, {
        content: event.content,
        feedback: event.feedback,
      });
      // The query carries the feedback, whichever worker accepted it, so the feedback no longer waits.
      if (event.feedback.length > 0) {
        history.notes = history.notes.filter((note) => !event.feedback.includes(note));
      }
      return;
    case "response":
      return close(history, event.queryId, event.content);
    case "cancelled":
      return close(history, event.queryId, event.partial);
    case "error":
      // An interrupted answer was cut short, like a cancelled one. Any other error is not an answer.
      return close(history, event.queryId, event.code === "interrupted" ? event.partial : "");
    case "cleared":
      history.messages = [];
      history.notes = [];
      history.open = emptyMap();
      return;
    case "configured":
    case "notification":
    case "rewound":
      return;
  }
}

/** Keeps a `modify` comment for the next query. Beyond `maxMessages` comments the oldest is dropped. */
export function addNote(history: History, comment: string): void {
  history.notes.push(comment);
  if (history.notes.length > history.maxMessages) history.notes.shift();
}

/** The messages for a question: the newest history that fits, then the question. The driver adds the system prompt. */
export function promptFor({ messages, maxMessages }: History, query: Asked): ModelMessage[] {
  const earlier = startAtUser(maxMessages > 1 ? messages.slice(1 - maxMessages) : []);
  return [...earlier, { role: "user", content: wordsOf(query) }];
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
  history.messages.push({ role: "user", content: wordsOf(asked) }, { role: "assistant", content: answer });
  if (history.messages.length > history.maxMessages) {
    history.messages = startAtUser(history.messages.slice(-history.maxMessages));
  }
}

function wordsOf({ content, feedback }: Asked): string {
  if (feedback.length === 0) return content;
  const notes = feedback.map((comment) => `[Feedback on your earlier answer: ${comment}]`).join("\n");
  return `${notes}\n\n${content}`;
}

/** The history never starts with an answer whose question was cut off. */
function startAtUser(messages: ModelMessage[]): ModelMessage[] {
  return messages[0]?.role === "assistant" ? messages.slice(1) : messages;
}
