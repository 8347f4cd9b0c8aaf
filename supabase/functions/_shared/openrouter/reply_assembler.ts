/** The chunks of a stream, put together. */

import type { ModelReply } from "../ports/model.ts";
import type { ThinkTagPolicy } from "../think_tags.ts";
import { AnswerStart } from "./answer_start.ts";
import { brokenStream } from "./attempt_failure.ts";
import { ChunkParser } from "./chunk_parser.ts";
import { callsTool, firstChoice, hidesThought, isThought, readParts, thoughtIn } from "./delta_fields.ts";
import { emptyAnswer } from "./empty_answer.ts";
import { finishReasonOf, isFailure } from "./finish_reason.ts";
import { isRecord, type JsonObject } from "./json_values.ts";
import type { Sighting } from "./metered_attempt.ts";
import { ReplyTools, type ReplyToolsOptions } from "./reply_tools.ts";
import { isError, isErrorBody, reportedError } from "./reported_error.ts";
import { readUsage } from "./usage.ts";

/** Longest answer with its thoughts and calls, in characters: a provider that never ends must not fill the worker's memory. */
export const MAX_REPLY_CHARS = 2_000_000;

export interface AssemblerOptions {
  /** Reported where the provider does not say which model answered. */
  model: string;
  thinkTags: ThinkTagPolicy;
  /** Whether white space behind thoughts is part of the text; see {@linkcode AnswerStart}. Default false. */
  keepsSpace?: boolean;
  /** Set if the request offers tools. Without them a reply that calls tools has no answer. */
  tools?: ReplyToolsOptions | undefined;
  /** Gets what the provider says of the request. */
  sighting?: Sighting | undefined;
}

export class ReplyAssembler {
  readonly #model: string;
  readonly #parser = new ChunkParser();
  #text = "";
  #thoughts = "";
  /** Of the whole answer so far, with its thoughts and its calls. */
  #chars = 0;
  #begun = false;
  /** Looks for the first word of the answer; undefined once it has come. */
  #start: AnswerStart | undefined;
  #hasThought = false;
  #hasToolCall = false;
  /** The text comes in `message` and not in `delta`. */
  #isInMessages = false;
  #finishReason: string | undefined;
  /** The finish reason came by itself, behind the text. */
  #isSettled = false;
  /** Something came after a finish reason, so that the next one may be early too. */
  #isEarly = false;
  #done = false;
  readonly #tools: ReplyTools | undefined;
  readonly #sighting: Sighting;

  constructor({ model, thinkTags, keepsSpace = false, tools, sighting = {} }: AssemblerOptions) {
    this.#model = model;
    this.#tools = tools === undefined ? undefined : new ReplyTools(tools, sighting.onCalled);
    this.#sighting = sighting;
    this.#start = new AnswerStart({
      policy: thinkTags,
      keepsSpace,
      onThought: (text) => {
        this.#hasThought = true;
        sighting.onThought?.(text);
        if (thinkTags === "show") this.#thoughts += text;
      },
    });
  }

  /** Text that has arrived and was not handed on yet. */
  get hasText(): boolean {
    return this.#text !== "";
  }

  /** Thoughts that have arrived and were not handed on yet. */
  get hasThoughts(): boolean {
    return this.#thoughts !== "";
  }

  /** The model has said something, if only to itself: reasoning may go on for minutes before the first text. */
  get begun(): boolean {
    return this.#begun;
  }

  /** The model has given a reason for its end. */
  get finished(): boolean {
    return this.#finishReason !== undefined;
  }

  /** The answer cannot become any less whole. Gemini gives a reason with every chunk, so one before the last text says nothing. */
  get whole(): boolean {
    return this.#done || this.finished && (this.#isSettled || !this.#isEarly);
  }

  /** Nothing but the usage is still to come. A reason in the same chunk as text may be one of many. */
  get settled(): boolean {
    return this.#done || this.#isSettled;
  }

  /** The provider has ended the stream: `[DONE]`. */
  get done(): boolean {
    return this.#done;
  }

  /** The first tool call is whole, and more follow. */
  get hasWholeCall(): boolean {
    return this.#tools !== undefined && this.#tools.hasWholeCall;
  }

  takeText(): string {
    const text = this.#text;
    this.#text = "";
    return text;
  }

  takeThoughts(): string {
    const thoughts = this.#thoughts;
    this.#thoughts = "";
    return thoughts;
  }

  /**
   * Takes the data of one event, or a whole body. `event` is the event's name. Throws an {@linkcode AttemptFailure} if it is an
   * error, or nothing that can be read.
   */
  add(data: string, event?: string): void {
    if (this.#done || data === "") return;
    if (data.startsWith("[DONE]")) return this.end();
    let chunk: unknown;
    try {
      chunk = this.#parser.parse(data);
    } catch {
      return this.#addUnreadable(data, event);
    }
    if (event === "error") throw reportedError(chunk, { detail: data });
    if (isRecord(chunk)) return this.#addChunk(chunk, data);
    if (Array.isArray(chunk) && isRecord(chunk[0]) && isError(chunk[0].error)) {
      throw reportedError(chunk, { detail: data });
    }
    if (chunk !== null) this.#addUnreadable(data, event);
  }

  /** The provider has ended the answer, with or without a reason. */
  end(): void {
    this.#done = true;
  }

  /** How the reply ended. Throws an {@linkcode AttemptFailure} if it just broke off, or has neither text nor calls. */
  reply(): ModelReply {
    if (!this.finished && !this.#done) throw brokenStream("the stream ended without a finish reason");
    // Older llama.cpp and many proxies send `[DONE]` without a reason.
    const finishReason = this.#finishReason ?? "stop";
    const step = this.#tools?.end();
    if (this.#start !== undefined) this.#text += this.#start.end();
    if (this.#start?.isOver === false && step?.calls === undefined) {
      const [hasThought, hasToolCall, hasTools] = [this.#hasThought, this.#hasToolCall, step !== undefined];
      throw emptyAnswer({ finishReason, hasThought, hasToolCall, hasTools, usage: this.#sighting.usage });
    }
    return {
      // Ollama and older vLLM give another reason behind calls.
      finishReason: step?.calls !== undefined && finishReason === "stop" ? "tool_calls" : finishReason,
      model: this.#sighting.model ?? this.#model,
      ...(this.#sighting.usage !== undefined && { usage: this.#sighting.usage }),
      ...(this.#sighting.generationId !== undefined && { generationId: this.#sighting.generationId }),
      ...step,
    };
  }

  #addChunk(chunk: JsonObject, data: string): void {
    const { choices, error, id, model, usage } = chunk;
    if (error !== undefined && isError(error)) throw reportedError(chunk, { detail: data });
    if (typeof model === "string" && model !== "") this.#sighting.model = model;
    if (typeof id === "string" && id !== "") this.#sighting.generationId ??= id;
    this.#addUsage(isRecord(usage) || !isRecord(chunk.x_groq) ? usage : chunk.x_groq.usage);
    if (!Array.isArray(choices)) {
      if (isErrorBody(chunk)) throw reportedError(chunk, { detail: data });
      return;
    }
    const choice = firstChoice(choices);
    if (choice !== undefined) return this.#addChoice(choice, data);
    // OpenAI's last chunk: the usage and no choices.
    if (this.finished && isRecord(usage)) this.#settle();
  }

  #addChoice(choice: JsonObject, data: string): void {
    const { delta, error, usage } = choice;
    if (error !== undefined && isError(error)) throw reportedError(choice, { detail: data });
    const chars = this.#chars;
    if (isRecord(delta)) this.#addDelta(delta);
    else this.#addMessage(choice);
    const isEmpty = this.#chars === chars;
    if (!isEmpty && this.finished) {
      this.#isEarly = true;
      this.#isSettled = false;
    }
    const finishReason = finishReasonOf(choice);
    if (finishReason === undefined) return;
    if (isFailure(finishReason)) throw reportedError(choice, { detail: data });
    this.#finishReason = finishReason;
    if (isEmpty) this.#settle();
    this.#addUsage(usage); // Moonshot's last chunk has it here.
  }

  /** As long as there is no text, it may still come: a reason behind the thoughts is not the end of the answer. Behind calls it is. */
  #settle(): void {
    this.#isSettled = this.#start === undefined || this.#tools !== undefined && this.#tools.hasCall;
  }

  /** A server that knows no deltas, a body instead of a stream, or OpenRouter's choices of a prompt. */
  #addMessage({ message, text }: JsonObject): void {
    if (!isRecord(message)) {
      if (typeof text === "string") this.#addDelta({ content: text });
      return;
    }
    // Some servers repeat the whole answer at the end of their deltas, or have the calls only there.
    if (this.#chars > 0 && !this.#isInMessages) {
      if (this.#tools !== undefined && !this.#tools.hasCall) this.#count(this.#tools.add(message));
      return;
    }
    this.#isInMessages = true;
    this.#addDelta(message);
  }

  #addDelta(delta: JsonObject): void {
    const { content, refusal } = delta;
    const thought = thoughtIn(delta);
    if (thought !== "") this.#think(thought);
    if (typeof content === "string") {
      if (content !== "") this.#addContent(content, delta);
    } else if (content !== null && content !== undefined) {
      readParts(content, this.#parts);
    }
    if (typeof refusal === "string" && refusal !== "") this.#addText(refusal);
    if (this.#tools !== undefined) this.#count(this.#tools.add(delta));
    // null or missing with reasoning and tool calls, neither of which is the answer's text.
    if (!content) this.#noteSigns(delta);
  }

  #addContent(content: string, delta: JsonObject): void {
    if (delta.extra_content === undefined || !isThought(delta)) return this.#addText(content);
    this.#think(content.replace(/^\s*<thought>\s*/, "").replace(/<\/thought>\s*$/, ""));
  }

  #noteSigns(delta: JsonObject): void {
    if (hidesThought(delta)) this.#begun = this.#hasThought = true;
    if (callsTool(delta)) this.#hasToolCall = true;
  }

  readonly #parts = {
    onText: (text: string): void => this.#addText(text),
    onThought: (text: string): void => this.#think(text),
  };

  #addText(text: string): void {
    this.#count(text.length);
    if (this.#start === undefined) {
      this.#text += text;
      return;
    }
    this.#text += this.#start.add(text);
    if (this.#start.isOver) this.#start = undefined;
  }

  #think(text: string): void {
    if (text === "") return;
    this.#hasThought = true;
    this.#count(text.length);
    this.#thoughts += text;
    this.#sighting.onThought?.(text);
  }

  #count(chars: number): void {
    if (chars === 0) return;
    this.#begun = true;
    this.#chars += chars;
    if (this.#chars > MAX_REPLY_CHARS) {
      throw brokenStream(`the answer has more than ${MAX_REPLY_CHARS} characters`);
    }
  }

  #addUsage(usage: unknown): void {
    const read = isRecord(usage) ? readUsage(usage) : undefined;
    if (read !== undefined) this.#sighting.usage = read;
  }

  /** No JSON object. Some servers leave out the blank line between events, so that there are several lines of them. */
  #addUnreadable(data: string, event: string | undefined): void {
    if (event === "error") throw reportedError(data, { detail: data });
    const lines = data.split("\n");
    if (lines.length > 1) {
      for (const line of lines) this.add(line, event);
      return;
    }
    if (/^\s*"?\[DONE\]/i.test(data)) return this.end();
    if (event !== undefined && /ping|keep-?alive|heartbeat/i.test(event)) return;
    // Nothing that comes after the end can take the answer back.
    if (this.whole) return;
    throw brokenStream(`the stream has an event that is no JSON object: ${data.slice(0, 200)}`);
  }
}
