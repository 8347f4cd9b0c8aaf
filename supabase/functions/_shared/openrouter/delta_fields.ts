/** Where a chunk has its choice, and a delta, or a whole message, its text and its thoughts. */

import { isRecord, type JsonObject, textOf } from "./json_values.ts";

/** The choice with index 0, wherever it is; without indexes the first one. Only one is ever asked for. */
export function firstChoice(choices: readonly unknown[]): JsonObject | undefined {
  const [only] = choices;
  if (choices.length === 1 && isRecord(only) && !only.index) return only;
  return choices.filter(isRecord).find(({ index }) => Number(index ?? 0) === 0);
}

/**
 * The thoughts beside the text: `reasoning` (OpenRouter, Groq, Ollama, newer vLLM), `reasoning_content` (DeepSeek, xAI, llama.cpp,
 * older vLLM), `reasoning_details` (OpenRouter), `thinking` (proxies of Anthropic). Servers that send two of them repeat
 * themselves, so the first one counts.
 */
export function thoughtIn(delta: JsonObject): string {
  const { reasoning, reasoning_content: content, reasoning_details: details, thinking } = delta;
  if (typeof reasoning === "string" && reasoning !== "") return reasoning;
  if (typeof content === "string" && content !== "") return content;
  if (Array.isArray(details)) return details.map(detailText).join("");
  return typeof thinking === "string" ? thinking : "";
}

/** The model thinks, but the provider does not say what: encrypted details. */
export function hidesThought({ reasoning_details: details }: JsonObject): boolean {
  return Array.isArray(details) && details.length > 0;
}

/** In any shape, if only a piece of a call. */
export function callsTool({ tool_calls: calls, function_call: old }: JsonObject): boolean {
  return Array.isArray(calls) && calls.length > 0 || isRecord(old);
}

/** https://openrouter.ai/docs/use-cases/reasoning-tokens: text or a summary; an encrypted detail has neither. */
function detailText(detail: unknown): string {
  return isRecord(detail) ? textOf(detail.text) || textOf(detail.summary) : "";
}

/** Gemini marks a delta whose text is a thought, and puts it in tags as well (https://ai.google.dev/gemini-api/docs/openai). */
export function isThought({ extra_content: extra }: JsonObject): boolean {
  return isRecord(extra) && isRecord(extra.google) && extra.google.thought === true;
}

/** Receives what the parts of a content are. */
export interface PartSink {
  onText(text: string): void;
  onThought(text: string): void;
}

/**
 * Reads content that is a list of parts, or one part: `text`, `refusal`, and the `thinking` of Mistral's reasoning models
 * (https://docs.mistral.ai/capabilities/reasoning/). Other parts are no text.
 */
export function readParts(content: unknown, { onText, onThought }: PartSink): void {
  for (const part of Array.isArray(content) ? content : [content]) {
    if (typeof part === "string") onText(part);
    if (!isRecord(part)) continue;
    switch (part.type) {
      case undefined:
      case "text":
        onText(textOf(part.text));
        break;
      case "refusal":
        onText(textOf(part.refusal));
        break;
      case "thinking":
      case "reasoning":
        onThought(thoughtPart(part));
    }
  }
}

function thoughtPart({ thinking, reasoning, text }: JsonObject): string {
  const thought = thinking ?? reasoning ?? text;
  if (!Array.isArray(thought)) return textOf(thought);
  return thought.map((part) => isRecord(part) ? textOf(part.text) : textOf(part)).join("");
}
