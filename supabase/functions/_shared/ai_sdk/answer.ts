/** One turn as the page sees it: the answer so far, and the requests that listen to it. */

import type { MemoryAccount } from "../guard/memory_budget.ts";
import { textBytes } from "../guard/memory_budget.ts";
import type { CancelTimer, Clock } from "../ports/runtime.ts";
import type { ErrorFrame, ResponseFrame, StatusFrame, ToolFrame } from "../protocol/server_frames.ts";
import type { AnswerSoFar, ChatInfo, ChunkStream, GivenCalls, Notice } from "./chunk_stream.ts";
import type { Listeners } from "./listeners.ts";
import {
  chunksOf,
  endedChunk,
  GIVEN,
  givenOf,
  paragraph,
  type StepSoFar,
  type ToolSteps,
} from "./tool_steps.ts";

/** What an answer keeps is counted in steps of so many UTF-16 code units, not for each piece. */
const COUNTED_CHARS = 16_384;

/** The events of one step come at once. After this time without another one, the requests of an answer that waits end. */
const PAUSE_MS = 50;

export interface AnswerOptions {
  clock: Clock;
  queryId: string;
  turnId: string;
  info: ChatInfo;
  listeners: Listeners;
  /** Of all answers of the conversation. */
  memory: Pick<MemoryAccount, "add">;
  /** The steps so far. */
  tools: ToolSteps;
  /** It waits for a decision or a client, so its requests have ended. */
  onPaused(answer: Answer): void;
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
  readonly #tools: ToolSteps;
  /** Calls about which a decision, or whose result, is on its way. */
  readonly #due = new Set<string>();
  #cancelPause: CancelTimer | undefined;
  /** Whether the text of a step after the first is still to begin. An empty line precedes it. */
  #isAtBreak: boolean;
  #countedChars = 0;

  constructor(options: AnswerOptions) {
    this.queryId = options.queryId;
    this.turnId = options.turnId;
    this.#options = options;
    this.#tools = options.tools;
    this.text = this.#tools.text;
    this.#isAtBreak = this.steps.length > 0;
  }

  get steps(): readonly StepSoFar[] {
    return this.#tools.steps;
  }

  get tools(): ToolSteps {
    return this.#tools;
  }

  /** Whether nothing follows before somebody decides about a call, or answers it. */
  get isWaiting(): boolean {
    return this.#tools.isWaiting((callId) => this.#due.has(callId));
  }

  get hasListeners(): boolean {
    return this.#streams.size > 0;
  }

  /** Shows a request everything from the beginning, or from what it was given, then what follows. */
  listen(stream: ChunkStream, given?: GivenCalls): void {
    if (this.#streams.has(stream)) return;
    this.#streams.add(stream);
    this.#options.listeners.add(this.turnId);
    stream.show(this, this.#options.info, given);
    this.#pauseSoon();
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

  /** What happens to a tool call. */
  takeTool(frame: ToolFrame): void {
    if (frame.type === "tool_call" && this.#tools.isNew(frame.step)) {
      const text = this.#tools.text + (frame.text ?? "");
      if (!this.text.startsWith(text)) this.#complete(text);
    }
    const change = this.#tools.take(frame);
    if (change === undefined) return;
    const { call, before, isFirstOfStep } = change;
    if (isFirstOfStep) {
      this.#isAtBreak = true;
      // The next model call has reasoning of its own.
      this.reasoning = "";
    }
    for (const stream of this.#streams) {
      stream.begin(this.turnId, this.#options.info);
      stream.tool(chunksOf(call, before), isFirstOfStep);
    }
    if (givenOf(call) >= GIVEN.decision) this.#due.delete(call.callId);
    this.#count();
    this.#pauseSoon();
  }

  /** A decision about the call, or its result, is on its way. */
  expect(callId: string): void {
    this.#due.add(callId);
  }

  /** It was refused: if the call still waits, so do the requests. */
  refused(callId: string): void {
    this.#due.delete(callId);
    this.#pauseSoon();
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
    const text = textOf(frame);
    // The partial text of a turn may be shorter than what was shown of it.
    if (frame.type === "response" || text.length > this.text.length) this.#complete(text);
    const { info } = this.#options;
    const open = this.#tools.calls.filter((call) => givenOf(call) < GIVEN.result);
    for (const stream of [...this.#streams]) {
      this.leave(stream);
      if (open.length > 0) stream.tool(open.map(endedChunk), false);
      if (frame.type === "error") stream.fail(frame.code, frame.content);
      else {
        stream.begin(this.turnId, info);
        if (frame.type === "response") stream.finish(frame, this.turnId, info);
        else stream.abort(frame.reason);
      }
    }
    this.#forget();
  }

  /** Nothing more is known of it here: its requests are told elsewhere. */
  drop(): void {
    for (const stream of [...this.#streams]) this.leave(stream);
    this.#forget();
  }

  #complete(text: string): void {
    if (text.startsWith(this.text)) return this.takeText(this.text.length, text.slice(this.text.length));
    this.text = text;
    this.#restart();
  }

  #append(type: "text" | "reasoning", content: string): void {
    if (content === "") return;
    const shown = type === "text" && this.#isAtBreak ? this.#begin(content) : content;
    this[type] += content;
    if (shown === "") return;
    for (const stream of this.#streams) {
      stream.begin(this.turnId, this.#options.info);
      stream.piece(type, shown);
    }
    this.#count();
  }

  /** A step is shown as a part of its own, without the empty line before it. */
  #begin(content: string): string {
    const shown = paragraph(content);
    this.#isAtBreak = shown === "";
    return shown;
  }

  #pauseSoon(): void {
    this.#cancelPause?.();
    this.#cancelPause = undefined;
    if (this.#streams.size === 0 || !this.isWaiting) return;
    this.#cancelPause = this.#options.clock.after(PAUSE_MS, () => this.#pause());
  }

  #pause(): void {
    if (!this.isWaiting) return;
    for (const stream of [...this.#streams]) {
      this.leave(stream);
      stream.pause(this.turnId, this.#options.info);
    }
    this.#options.onPaused(this);
  }

  #forget(): void {
    this.#cancelPause?.();
    this.#countAs(0);
  }

  #restart(): void {
    if (this.steps.length > 0) this.#begin(this.text.slice(this.#tools.text.length));
    for (const stream of this.#streams) {
      stream.begin(this.turnId, this.#options.info);
      stream.restart(this);
    }
    this.#count();
  }

  #count(): void {
    const chars = this.text.length + this.reasoning.length + this.#tools.chars;
    if (chars >= this.#countedChars + COUNTED_CHARS) this.#countAs(chars);
  }

  #countAs(chars: number): void {
    this.#options.memory.add(textBytes(chars) - textBytes(this.#countedChars));
    this.#countedChars = chars;
  }
}

/** The text of a turn that has ended, as far as its end has it. */
export function textOf(frame: EndFrame): string {
  return frame.type === "response" ? frame.content : frame.partial ?? "";
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
