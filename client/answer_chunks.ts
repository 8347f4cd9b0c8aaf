/** One answer in the AI SDK's format. */

import type { UIMessageChunk } from "ai";
import type { AgentClient } from "./client.ts";
import type { Answer, Piece, Turn } from "./turn.ts";

type FinishReason = (UIMessageChunk & { type: "finish" })["finishReason"];
type Notice = UIMessageChunk & { type: `data-${string}` };

/**
 * The chunks of one answer. Text and reasoning are parts of their own: each change from one to the other, and each new
 * beginning of the reasoning, ends a part and starts the next. If the answer is restarted with other text, the message is
 * emptied (`reset-step`, since ai 7.0.70) and built again.
 */
export async function* answerChunks(
  turn: Turn,
  client: AgentClient,
): AsyncGenerator<UIMessageChunk, void, undefined> {
  const notices = new Notices(turn, client);
  try {
    const id = await notices.messageId;
    if (id !== undefined) yield { type: "start", messageId: id };
    const parts = new Parts(id ?? turn.id);
    const pieces = turn.pieces()[Symbol.asyncIterator]();
    let next = pieces.next();
    let reasoning = "";
    for (;;) {
      const piece = notices.hasNew ? undefined : await Promise.race([next, notices.arrival()]);
      yield* notices.takeNew();
      if (piece === undefined) continue;
      if (piece.done) break;
      const { type, offset, text } = piece.value;
      if (type === "reasoning") reasoning = reasoning.slice(0, offset) + text;
      else if (offset === 0 && parts.hasText) {
        yield* parts.reset();
        yield* notices.all;
        if (reasoning !== "") yield* parts.add("reasoning", reasoning, true);
      }
      yield* parts.add(type, text, offset === 0);
      next = pieces.next();
    }
    yield* parts.end();
    yield toEnd(await turn.final);
  } finally {
    notices.end();
  }
}

/** The parts of the message: at most one is open. */
class Parts {
  readonly #id: string;
  #open: { type: Piece["type"]; id: string } | undefined;
  #count = 0;
  hasText = false;

  constructor(id: string) {
    this.#id = id;
  }

  *add(type: Piece["type"], text: string, isStart: boolean): Generator<UIMessageChunk> {
    if (this.#open?.type !== type || isStart) {
      yield* this.end();
      this.#open = { type, id: this.#count === 0 ? this.#id : `${this.#id}-${this.#count}` };
      this.#count++;
      yield { type: `${type}-start`, id: this.#open.id };
    }
    this.hasText ||= type === "text";
    yield { type: `${type}-delta`, id: this.#open.id, delta: text };
  }

  *end(): Generator<UIMessageChunk> {
    if (this.#open !== undefined) yield { type: `${this.#open.type}-end`, id: this.#open.id };
    this.#open = undefined;
  }

  /** Removes all parts from the message. */
  *reset(): Generator<UIMessageChunk> {
    yield* this.end();
    this.hasText = false;
    yield { type: "reset-step" };
  }
}

/** What happens beside the answer: messages from other functions, and the turn's id. */
class Notices {
  /** Every message so far, as parts. */
  readonly all: Notice[] = [];
  /**
   * The id of the answer's message, once the server has accepted the query; undefined if the turn ended without one. It
   * differs from the question's, because the AI SDK replaces a message that has the same id.
   */
  readonly messageId: Promise<string | undefined>;
  readonly #unsubscribe: (() => void)[] = [];
  #taken = 0;
  #onArrival = (): void => {};

  constructor(turn: Turn, client: AgentClient) {
    this.#unsubscribe.push(client.on("notification", ({ id, content, code, data, source }) => {
      // Notices about the connection have no id.
      if (id === undefined) return;
      this.all.push({ type: "data-notification", id, data: { content, code, data, source } });
      this.#onArrival();
    }));
    this.messageId = new Promise((resolve) => {
      const look = (): void => {
        if (turn.turnId !== undefined) resolve(`answer-${turn.turnId}`);
      };
      look();
      this.#unsubscribe.push(client.on("turn", (changed) => changed === turn && look()));
      const end = (): void => {
        look();
        resolve(undefined);
      };
      turn.final.then(end, end);
    });
  }

  get hasNew(): boolean {
    return this.#taken < this.all.length;
  }

  arrival(): Promise<undefined> {
    return new Promise((resolve) => this.#onArrival = (): void => resolve(undefined));
  }

  takeNew(): Notice[] {
    const fresh = this.all.slice(this.#taken);
    this.#taken = this.all.length;
    return fresh;
  }

  end(): void {
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
  }
}

function toEnd({ outcome, finishReason, turnId, model, usage }: Answer): UIMessageChunk {
  if (outcome === "cancelled") return { type: "abort", reason: finishReason };
  return {
    type: "finish",
    finishReason: toFinishReason(finishReason),
    messageMetadata: { turnId, model, usage },
  };
}

/** Finish reasons that the AI SDK names differently. */
function toFinishReason(reason: string): Exclude<FinishReason, undefined> {
  if (reason === "content_filter") return "content-filter";
  return reason === "stop" || reason === "length" ? reason : "other";
}
