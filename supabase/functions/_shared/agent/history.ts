/** What the model sees of a session: a fold over the log, so that any worker that reads the log sees the same. */

import { MemoryBudget, OVERHEAD_BYTES, SessionMemory, textBytes } from "../guard/memory_budget.ts";
import type { ModelMessage } from "../ports.ts";
import type { LogEvent, QueryEvent } from "../protocol/log_event.ts";

export class History {
  readonly #maxMessages: number;
  readonly #memory: SessionMemory;
  #messages: ModelMessage[] = [];
  /** Asked and not answered yet, by id: a question is shown to the model only with its answer. */
  readonly #open = new Map<string, Pick<QueryEvent, "content" | "feedback">>();
  /** Comments of `modify` feedback that wait for the next query. */
  #notes: string[] = [];

  /** `maxMessages` counts the present question, but not the system prompt. `memory` counts what is kept. */
  constructor(maxMessages: number, memory = new SessionMemory(new MemoryBudget(0), { isLogHere: true })) {
    this.#maxMessages = maxMessages;
    this.#memory = memory;
  }

  /** How many messages of earlier turns are kept. */
  get size(): number {
    return this.#messages.length;
  }

  /** Takes an event of the log in. Events come in the order of `seq`, each once. */
  apply(event: LogEvent): void {
    switch (event.kind) {
      case "query":
        this.#open.set(event.queryId, { content: event.content, feedback: event.feedback });
        // The query may have come to another worker, which has these notes too.
        this.#keepNotes(this.#notes.filter((note) => !event.feedback.includes(note)));
        break;
      case "response":
        this.#close(event.queryId, event.content);
        break;
      case "cancelled":
        this.#close(event.queryId, event.partial);
        break;
      case "error":
        // An interrupted answer is one that was cut short, like a cancelled one; any other error is no answer.
        this.#close(event.queryId, event.code === "interrupted" ? event.partial : "");
        break;
      case "notification":
        break;
      case "cleared":
        this.#keepMessages([]);
        this.#keepNotes([]);
        this.#open.clear();
        break;
    }
  }

  /** Keeps a `modify` comment for the next query. The oldest is dropped past `maxMessages` of them. */
  addNote(comment: string): void {
    this.#keepNotes([...this.#notes, comment].slice(-this.#maxMessages));
  }

  /** The comments that wait, which the caller's query now carries. */
  takeNotes(): readonly string[] {
    const notes = this.#notes;
    this.#keepNotes([]);
    return notes;
  }

  /** The messages to send for a question: the system prompt, the newest history that fits, the question. */
  prompt(system: string, query: Pick<QueryEvent, "content" | "feedback">): ModelMessage[] {
    const asked: ModelMessage = { role: "user", content: wordsOf(query) };
    const earlier = startAtUser(this.#maxMessages > 1 ? this.#messages.slice(1 - this.#maxMessages) : []);
    return [{ role: "system", content: system }, ...earlier, asked];
  }

  #close(queryId: string, answer: string): void {
    const query = this.#open.get(queryId);
    if (query === undefined) return;
    this.#open.delete(queryId);
    if (answer === "") {
      // No answer: the question leaves no trace, but what it carried goes to the next one.
      this.#keepNotes([...query.feedback, ...this.#notes]);
      return;
    }
    this.#add({ role: "user", content: wordsOf(query) });
    this.#add({ role: "assistant", content: answer });
    if (this.#messages.length > this.#maxMessages) {
      this.#keepMessages(startAtUser(this.#messages.slice(-this.#maxMessages)));
    }
  }

  #add(message: ModelMessage): void {
    this.#messages.push(message);
    this.#memory.messages.add(message.content.length);
  }

  /** Keeps the newest messages, and drops those before them. */
  #keepMessages(newest: ModelMessage[]): void {
    for (const { content } of this.#messages.slice(0, this.#messages.length - newest.length)) {
      this.#memory.messages.drop(content.length);
    }
    this.#messages = newest;
  }

  #keepNotes(notes: string[]): void {
    this.#notes = notes;
    this.#memory.notes.set(
      notes.reduce((sum, note) => sum + OVERHEAD_BYTES.message + textBytes(note.length), 0),
    );
  }
}

function wordsOf({ content, feedback }: Pick<QueryEvent, "content" | "feedback">): string {
  if (feedback.length === 0) return content;
  const notes = feedback.map((comment) => `[Feedback on your earlier answer: ${comment}]`).join("\n");
  return `${notes}\n\n${content}`;
}

/** A window never starts with an answer whose question was cut off. */
function startAtUser(messages: ModelMessage[]): ModelMessage[] {
  return messages[0]?.role === "assistant" ? messages.slice(1) : messages;
}
