/** The chunks of a stream, put together. */

import type { ModelReply } from "../ports/model.ts";
import type { Usage } from "../protocol/log_event.ts";
import { AttemptFailure, brokenStream, statusFailure } from "./attempt_failure.ts";
import type { Sighting } from "./metered_attempt.ts";

/** Longest answer, in characters: a provider that never ends must not fill the worker's memory. */
export const MAX_REPLY_CHARS = 2_000_000;

export class ReplyAssembler {
  #text = "";
  /** Of the whole answer so far. */
  #chars = 0;
  #begun = false;
  #finishReason: string | undefined;
  #model: string;
  #usage: Usage | undefined;
  #done = false;
  readonly #sighting: Sighting;

  /** `model` is reported where the provider does not say which one answered. `sighting` gets what it says of the request. */
  constructor(model: string, sighting: Sighting = {}) {
    this.#model = model;
    this.#sighting = sighting;
  }

  /** Text that has arrived and was not handed on yet. */
  get hasText(): boolean {
    return this.#text !== "";
  }

  /** The model has said something, if only to itself: reasoning may go on for minutes before the first text. */
  get begun(): boolean {
    return this.#begun;
  }

  /** The model has ended its answer. */
  get finished(): boolean {
    return this.#finishReason !== undefined;
  }

  /** The provider has ended the stream: `[DONE]`. */
  get done(): boolean {
    return this.#done;
  }

  takeText(): string {
    const text = this.#text;
    this.#text = "";
    return text;
  }

  /** Takes the data of one event. Throws an {@linkcode AttemptFailure} if it is an error, or nothing that can be read. */
  add(data: string): void {
    if (this.#done || data === "") return;
    if (data.startsWith("[DONE]")) {
      this.#done = true;
      return;
    }
    const chunk = this.#parse(data);
    if (chunk === undefined) return;
    if (isRecord(chunk.error) || typeof chunk.error === "string") throw reportedError(chunk.error, data);
    if (typeof chunk.model === "string" && chunk.model !== "") {
      this.#sighting.model = this.#model = chunk.model;
    }
    if (typeof chunk.id === "string" && chunk.id !== "") this.#sighting.generationId ??= chunk.id;
    if (isRecord(chunk.usage)) this.#takeUsage(chunk.usage);
    // The chunk with the usage has `choices: []`.
    const choice: unknown = Array.isArray(chunk.choices) ? chunk.choices[0] : undefined;
    if (isRecord(choice)) this.#addChoice(choice, data);
  }

  /** How the reply ended. Throws an {@linkcode AttemptFailure} if it just broke off. */
  reply(): ModelReply {
    if (this.#finishReason === undefined) throw brokenStream("the stream ended without a finish reason");
    const reply = { finishReason: this.#finishReason, model: this.#model };
    return this.#usage === undefined ? reply : { ...reply, usage: this.#usage };
  }

  #takeUsage(reported: Record<string, unknown>): void {
    const usage = readUsage(reported);
    if (usage !== undefined) this.#sighting.usage = this.#usage = usage;
  }

  #addChoice(choice: Record<string, unknown>, data: string): void {
    const { delta, finish_reason: finishReason } = choice;
    if (isRecord(delta)) this.#addDelta(delta);
    if (typeof finishReason !== "string" || finishReason === "") return;
    if (finishReason === "error") throw reportedError(choice.error, data);
    this.#finishReason = finishReason;
  }

  #addDelta({ content, reasoning, reasoning_content: reasoningContent }: Record<string, unknown>): void {
    // null or missing with reasoning and tool calls, neither of which is the answer's text.
    if (typeof content === "string" && content !== "") {
      this.#chars += content.length;
      if (this.#chars > MAX_REPLY_CHARS) {
        throw brokenStream(`the answer has more than ${MAX_REPLY_CHARS} characters`);
      }
      this.#text += content;
      this.#begun = true;
    } else if (reasoning || reasoningContent) {
      this.#begun = true;
      this.#sighting.onThought?.(String(reasoning || reasoningContent));
    }
  }

  #parse(data: string): Record<string, unknown> | undefined {
    let chunk: unknown;
    try {
      chunk = JSON.parse(data);
    } catch {
      // Falls through: not JSON is as bad as JSON that is no object.
    }
    if (isRecord(chunk)) return chunk;
    // Nothing that comes after the end can take the answer back.
    if (this.finished) return undefined;
    throw brokenStream(`the stream has an event that is no JSON object: ${data.slice(0, 200)}`);
  }
}

/** An error that the provider reports under HTTP 200: its code is a status, if it is a number. */
function reportedError(error: unknown, data: string): AttemptFailure {
  const code = isRecord(error) ? Number(error.code) : NaN;
  if (Number.isInteger(code) && code >= 400 && code < 600) return statusFailure(code, { detail: data });
  return new AttemptFailure("model_unavailable", "the model provider failed while answering", {
    detail: data,
  });
}

function readUsage(usage: Record<string, unknown>): Usage | undefined {
  const { prompt_tokens: prompt, completion_tokens: completion, total_tokens: total, cost } = usage;
  if (!isCount(prompt) || !isCount(completion)) return undefined;
  const tokens = {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: isCount(total) ? total : prompt + completion,
  };
  return typeof cost === "number" && Number.isFinite(cost) && cost >= 0 ? { ...tokens, cost } : tokens;
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
