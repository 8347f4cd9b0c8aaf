/** Writes an answer as the AI SDK's chunks: what is new of its steps, its text and its reasoning. */

import type { UIMessageChunk } from "ai";
import type { ToolCall, ToolStep } from "./tool_calls.ts";
import { chunksOf, GIVEN, type Given, type GivenCalls, givenOf } from "./tool_chunks.ts";
import { around, paragraph } from "./tool_messages.ts";
import type { Piece, Turn } from "./turn.ts";

export type Notice = UIMessageChunk & { type: `data-${string}` };

export interface AnswerSoFar {
  turn: Turn;
  /** The steps that have called tools. */
  steps: readonly ToolStep[];
  /** The messages of other functions: a part of what is emptied when the text begins again. */
  notices: readonly Notice[];
}

export class AnswerWriter {
  readonly #id: string;
  /** What is written of each call. */
  readonly #calls: Map<string, Given>;
  /** At most one part is open. */
  #open: { type: Piece["type"]; id: string } | undefined;
  #parts = 0;
  /** How many steps with calls are written. */
  #steps = 0;
  /** The text that is written, of all steps, and where the step that is written begins in it. */
  #text = "";
  #stepStart = 0;
  #reasoning = "";
  /** Tools were called: what follows is another step. */
  #isStepOver = false;

  constructor(id: string, given?: GivenCalls) {
    this.#id = id;
    this.#calls = new Map(given);
  }

  /** Goes on behind what the page has: the steps of which it was given calls. */
  skip({ turn, steps }: AnswerSoFar): void {
    const known = steps.filter(({ calls }) => calls.some(({ callId }) => this.#calls.has(callId)));
    this.#steps = known.length;
    this.#text = textBefore(turn, steps) + known.map(({ text }) => text).join("");
    this.#stepStart = this.#text.length;
    this.#reasoning = turn.reasoning;
    this.#isStepOver = known.length > 0;
  }

  /** What is new. */
  *write(answer: AnswerSoFar): Generator<UIMessageChunk> {
    const { turn, steps } = answer;
    let text = textBefore(turn, steps);
    for (const [index, step] of steps.entries()) {
      text += step.text;
      if (index >= this.#steps) {
        yield* this.#addText(text, answer);
        // A step without text.
        if (this.#isStepOver) yield* this.#startStep();
      }
      for (const call of step.calls) yield* this.#addCall(call);
      if (index < this.#steps) continue;
      this.#steps++;
      this.#stepStart = this.#text.length;
      this.#isStepOver = true;
    }
    yield* this.#addReasoning(turn.reasoning);
    // Deltas of the steps may still be to come.
    if (!text.startsWith(turn.text)) yield* this.#addText(turn.text, answer);
  }

  /** Ends the part that is open. */
  *end(): Generator<UIMessageChunk> {
    if (this.#open !== undefined) yield { type: `${this.#open.type}-end`, id: this.#open.id };
    this.#open = undefined;
  }

  *#addCall(call: ToolCall): Generator<UIMessageChunk> {
    const given = this.#calls.get(call.callId) ?? GIVEN.nothing;
    if (givenOf(call) <= given) return;
    this.#calls.set(call.callId, givenOf(call));
    yield* this.end();
    yield* chunksOf(call, given);
  }

  *#addReasoning(reasoning: string): Generator<UIMessageChunk> {
    const known = this.#reasoning;
    if (reasoning === known) return;
    this.#reasoning = reasoning;
    const isMore = reasoning.startsWith(known);
    if (reasoning !== "") {
      yield* this.#add("reasoning", isMore ? reasoning.slice(known.length) : reasoning, !isMore);
    }
  }

  *#addText(text: string, { turn, notices }: AnswerSoFar): Generator<UIMessageChunk> {
    const known = this.#text;
    if (text.startsWith(known)) {
      this.#text = text;
      return yield* this.#addToStep(known.length, text);
    }
    // Text that is shorter, but still a prefix of what was written, may grow past it. After the end it cannot.
    if (turn.state !== "completed" && known.startsWith(text)) return;
    this.#text = text;
    yield* this.end();
    if (!this.#isStepOver) {
      yield { type: "reset-step" };
      yield* notices;
      if (turn.reasoning !== "") yield* this.#add("reasoning", turn.reasoning, true);
    }
    yield* this.#addToStep(this.#stepStart, text);
  }

  /** A step is a part of its own: the empty line before it is left out. */
  *#addToStep(from: number, text: string): Generator<UIMessageChunk> {
    const isBegun = this.#steps === 0 || paragraph(text.slice(this.#stepStart, from)) !== "";
    const added = isBegun ? text.slice(from) : paragraph(text.slice(from));
    if (added !== "") yield* this.#add("text", added, false);
  }

  *#add(type: Piece["type"], text: string, isStart: boolean): Generator<UIMessageChunk> {
    if (this.#open?.type !== type || isStart) {
      yield* this.end();
      if (this.#isStepOver) yield* this.#startStep();
      this.#open = { type, id: this.#parts === 0 ? this.#id : `${this.#id}-${this.#parts}` };
      this.#parts++;
      yield { type: `${type}-start`, id: this.#open.id };
    }
    yield { type: `${type}-delta`, id: this.#open.id, delta: text };
  }

  *#startStep(): Generator<UIMessageChunk> {
    this.#isStepOver = false;
    yield { type: "start-step" };
  }
}

/** The text of steps that the client has missed. */
function textBefore(turn: Turn, steps: readonly ToolStep[]): string {
  return around(steps.map(({ text }) => text).join(""), turn.text).before;
}
