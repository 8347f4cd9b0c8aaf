/** What the model sees of a session: a fold over the log, so that any worker that reads the log sees the same. */

import type { ModelMessage } from "../../ports/model.ts";
import type { LogEvent, QueryEvent } from "../../protocol/log_event.ts";

type Asked = Pick<QueryEvent, "content" | "feedback">;

export interface History {
  /** Questions and their answers, oldest first. */
  messages: ModelMessage[];
  /** Asked and not answered yet, by query id: a question is shown to the model only with its answer. */
  readonly open: Map<string, Asked>;
  /** Comments of `modify` feedback that wait for the next query. */
  notes: string[];
  /** Messages kept, the present question among them. */
  readonly maxMessages: number;
}

export function emptyHistory(maxMessages: number): History {
  return { messages: [], open: new Map(), notes: [], maxMessages };
}

/** Takes an event of the log in. Events come in the order of `seq`, each once. */
export function foldHistory(history: History, event: LogEvent): void {
  switch (event.kind) {
    case "query":
      history.open.set(event.queryId, { content: event.content, feedback: event.feedback });
      // Whichever worker took the query: what it carries does not wait any more.
      if (event.feedback.length > 0) {
        history.notes = history.notes.filter((note) => !event.feedback.includes(note));
      }
      return;
    case "response":
      return close(history, event.queryId, event.content);
    case "cancelled":
      return close(history, event.queryId, event.partial);
    case "error":
      // An interrupted answer was cut short, like a cancelled one; any other error is no answer.
      return close(history, event.queryId, event.code === "interrupted" ? event.partial : "");
    case "cleared":
      history.messages = [];
      history.notes = [];
      history.open.clear();
      return;
    case "configured":
    case "notification":
      return;
  }
}

/** Keeps a `modify` comment for the next query. The oldest is dropped past `maxMessages` of them. */
export function addNote(history: History, comment: string): void {
  history.notes.push(comment);
  if (history.notes.length > history.maxMessages) history.notes.shift();
}

/** The messages for a question: the newest history that fits, the question. The system prompt is the driver's. */
export function promptFor({ messages, maxMessages }: History, query: Asked): ModelMessage[] {
  const earlier = startAtUser(maxMessages > 1 ? messages.slice(1 - maxMessages) : []);
  return [...earlier, { role: "user", content: wordsOf(query) }];
}

function close(history: History, queryId: string, answer: string): void {
  const asked = history.open.get(queryId);
  if (asked === undefined) return;
  history.open.delete(queryId);
  if (answer === "") {
    // No answer: the question leaves no trace, but what it carried goes to the next one.
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

/** A window never starts with an answer whose question was cut off. */
function startAtUser(messages: ModelMessage[]): ModelMessage[] {
  return messages[0]?.role === "assistant" ? messages.slice(1) : messages;
}
