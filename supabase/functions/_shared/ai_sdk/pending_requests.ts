/** The requests of one conversation that are not answered yet. */

import type { Answer } from "./answer.ts";
import type { ChunkStream } from "./chunk_stream.ts";
import type { Question } from "./question.ts";

/** What a request is for: a question, the running answer, or the rest of an answer whose tool calls it decides. */
export type Purpose = Question | "resume" | "reply";

export interface Pending {
  stream: ChunkStream;
  purpose: Purpose;
  /** What it listens to, once that is known. */
  answer: Answer | undefined;
}

export class PendingRequests {
  readonly #all = new Map<string, Pending>();

  get size(): number {
    return this.#all.size;
  }

  has(requestId: string): boolean {
    return this.#all.has(requestId);
  }

  get(requestId: string): Pending | undefined {
    return this.#all.get(requestId);
  }

  add(requestId: string, stream: ChunkStream, purpose: Purpose): Pending {
    const pending: Pending = { stream, purpose, answer: undefined };
    this.#all.set(requestId, pending);
    return pending;
  }

  delete(requestId: string): void {
    this.#all.delete(requestId);
  }

  fail(requestId: string, code: string, words: string): void {
    this.#all.get(requestId)?.stream.fail(code, words);
    this.#all.delete(requestId);
  }

  /** The questions that are asked, in the order of their requests. */
  get questions(): Question[] {
    return [...this.#all.values()].flatMap((pending) => questionOf(pending) ?? []);
  }

  /** The requests that ask the query with this id and do not listen to its answer yet. */
  asking(queryId: string): [requestId: string, Pending][] {
    return [...this.#all].filter(([, pending]) =>
      pending.answer === undefined && questionOf(pending)?.query.id === queryId
    );
  }

  /** Whether a request asks the query with this id. */
  asks(queryId: string): boolean {
    return this.questions.some(({ query }) => query.id === queryId);
  }

  /** Removes those that listen to a turn. Returns their ids. */
  takeListeners(turnId: string): Set<string> {
    const ids = [...this.#all].filter(([, { answer }]) => answer?.turnId === turnId).map(([id]) => id);
    for (const id of ids) this.#all.delete(id);
    return new Set(ids);
  }

  /** Removes all. They listen to nothing any more. */
  takeAll(): ReadonlyMap<string, Purpose> {
    const taken = new Map([...this.#all].map(([id, { purpose }]) => [id, purpose]));
    for (const { answer, stream } of this.#all.values()) answer?.leave(stream);
    this.#all.clear();
    return taken;
  }
}

function questionOf({ purpose }: Pending): Question | undefined {
  return typeof purpose === "string" ? undefined : purpose;
}
