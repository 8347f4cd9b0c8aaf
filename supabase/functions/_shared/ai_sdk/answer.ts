/** One turn as the page sees it: the answer so far, and the requests that listen to it. */

import type { MemoryAccount } from "../guard/memory_budget.ts";
import { textBytes } from "../guard/memory_budget.ts";
import type { ErrorFrame, ResponseFrame, StatusFrame } from "../protocol/server_frames.ts";
import type { AnswerSoFar, ChatInfo, ChunkStream, Notice } from "./chunk_stream.ts";
import type { Listeners } from "./listeners.ts";

/** What an answer keeps is counted in steps of so many UTF-16 code units, not for each piece. */
const COUNTED_CHARS = 16_384;

export interface AnswerOptions {
  queryId: string;
  turnId: string;
  info: ChatInfo;
  listeners: Listeners;
  /** Of all answers of the conversation. */
  memory: Pick<MemoryAccount, "add">;
}

export type EndFrame = ResponseFrame | ErrorFrame | (StatusFrame & { code: "cancelled" });

export class Answer implements AnswerSoFar {
  readonly queryId: string;
  readonly turnId: string;
  text = "";
  reasoning = "";
  readonly notices: Notice[] = [];
  readonly #options: AnswerOptions;
  readonly #streams = new Set<ChunkStream>();
  #countedChars = 0;

  constructor(options: AnswerOptions) {
    this.queryId = options.queryId;
    this.turnId = options.turnId;
    this.#options = options;
  }

  get hasListeners(): boolean {
    return this.#streams.size > 0;
  }

  /** Shows a request everything from the beginning, then what follows. */
  listen(stream: ChunkStream): void {
    if (this.#streams.has(stream)) return;
    this.#streams.add(stream);
    this.#options.listeners.add(this.turnId);
    stream.show(this, this.#options.info);
  }

  leave(stream: ChunkStream): void {
    if (this.#streams.delete(stream)) this.#options.listeners.remove(this.turnId);
  }

  /** A piece of the text. The offset says where it belongs: see `DL2` in docs/PROTOCOL.md. */
  takeText(offset: number, content: string): void {
    const known = this.text.length;
    if (offset === known) return this.#append("text", content);
    const change = compare(this.text, offset, content);
    if (change === "more") return this.#append("text", content.slice(known - offset));
    if (change === "nothing") return;
    this.text = this.text.slice(0, offset) + content;
    this.#restart();
  }

  /** A piece of the reasoning. Another worker's begins again at 0. */
  takeReasoning(offset: number, content: string): void {
    const known = this.reasoning.length;
    if (offset === known) return this.#append("reasoning", content);
    const change = compare(this.reasoning, offset, content);
    if (change === "more") return this.#append("reasoning", content.slice(known - offset));
    if (change === "nothing") return;
    this.reasoning = this.reasoning.slice(0, offset) + content;
    if (offset > 0) return this.#restart();
    for (const stream of this.#streams) stream.rethink(content);
  }

  takeNotice(notice: Notice): void {
    if (this.notices.some(({ id }) => id === notice.id)) return;
    this.notices.push(notice);
    for (const stream of this.#streams) {
      stream.begin(this.turnId, this.#options.info);
      stream.notice(notice);
    }
  }

  /** The turn has ended: the frame has the whole text. */
  end(frame: EndFrame): void {
    const text = frame.type === "response" ? frame.content : frame.partial ?? "";
    // The partial text of a turn may be shorter than what was shown of it.
    if (frame.type === "response" || text.length > this.text.length) this.#complete(text);
    const { info } = this.#options;
    for (const stream of [...this.#streams]) {
      this.leave(stream);
      if (frame.type === "error") stream.fail(frame.code, frame.content);
      else {
        stream.begin(this.turnId, info);
        if (frame.type === "response") stream.finish(frame, this.turnId, info);
        else stream.abort(frame.reason);
      }
    }
    this.#countAs(0);
  }

  /** Nothing more is known of it here: its requests are told elsewhere. */
  drop(): void {
    for (const stream of [...this.#streams]) this.leave(stream);
    this.#countAs(0);
  }

  #complete(text: string): void {
    if (text.startsWith(this.text)) return this.takeText(this.text.length, text.slice(this.text.length));
    this.text = text;
    this.#restart();
  }

  #append(type: "text" | "reasoning", content: string): void {
    if (content === "") return;
    this[type] += content;
    for (const stream of this.#streams) {
      stream.begin(this.turnId, this.#options.info);
      stream.piece(type, content);
    }
    this.#count();
  }

  #restart(): void {
    for (const stream of this.#streams) {
      stream.begin(this.turnId, this.#options.info);
      stream.restart(this, this.#options.info);
    }
    this.#count();
  }

  #count(): void {
    const chars = this.text.length + this.reasoning.length;
    if (chars >= this.#countedChars + COUNTED_CHARS) this.#countAs(chars);
  }

  #countAs(chars: number): void {
    this.#options.memory.add(textBytes(chars) - textBytes(this.#countedChars));
    this.#countedChars = chars;
  }
}

/** What a piece that begins within a text, or behind its end, says: the text goes on, or is replaced from there. */
function compare(text: string, offset: number, content: string): "nothing" | "more" | "other" {
  // It comes again, from an earlier offset.
  if (offset > text.length) return "nothing";
  const known = text.slice(offset, offset + content.length);
  if (!content.startsWith(known)) return "other";
  // A shorter text of the same words: if it goes on differently, the next piece says so.
  return known.length === content.length ? "nothing" : "more";
}
