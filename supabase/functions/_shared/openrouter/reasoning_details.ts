/** What a provider wants back with the calls of a reply: what the model thought before them, and fields of the calls themselves. */

import { isRecord, type JsonObject, textOf } from "./json_values.ts";
import type { GivenCall } from "./tool_calls.ts";

/** The type of our own detail: the text of `reasoning_content`, which DeepSeek and Moonshot want back in that field. */
export const REASONING_CONTENT = "reasoning_content";

/** The type of our own detail with the provider's fields of each call. */
const CALLS = "tool_calls";
/** Kimi K2 is trained on ids of its own form, and calls tools less reliably with others. */
const KIMI_ID = /^functions\./;

/** Fields of which a stream sends pieces; of any other the first value that is not null counts, of a signature the last. */
const IN_PIECES = ["text", "summary", "data"];

/** Which field of a reply is collected. */
export type ReasoningField = "reasoning_details" | typeof REASONING_CONTENT;

export class ReasoningDetails {
  readonly #field: ReasoningField;
  readonly #details: JsonObject[] = [];

  constructor(field: ReasoningField) {
    this.#field = field;
  }

  /** Returns how many characters it keeps beyond those of the model's thoughts. */
  add(delta: JsonObject): number {
    const value = delta[this.#field];
    if (this.#field === REASONING_CONTENT) {
      const text = textOf(value);
      if (text !== "") this.#join({ type: REASONING_CONTENT, text });
      return 0;
    }
    if (!Array.isArray(value)) return 0;
    const details = value.filter(isRecord);
    for (const detail of details) this.#join(detail);
    return details.reduce(
      (chars, { data, signature }) => chars + textOf(data).length + textOf(signature).length,
      0,
    );
  }

  get all(): readonly JsonObject[] {
    return this.#details;
  }

  /**
   * A fragment continues the detail with its index and type (https://openrouter.ai/docs/use-cases/reasoning-tokens). Encrypted ones
   * of two tool calls differ in their ids alone.
   */
  #join(fragment: JsonObject): void {
    const { index, type, id } = fragment;
    const known = this.#details.findLast((detail) => detail.index === index && detail.type === type);
    if (known === undefined || isOther(known.id, id)) return void this.#details.push({ ...fragment });
    for (const [name, value] of Object.entries(fragment)) {
      if (value === null || value === undefined) continue;
      if (IN_PIECES.includes(name)) known[name] = textOf(known[name]) + textOf(value);
      else if (name === "signature" && value !== "") known[name] = value;
      else known[name] ??= value;
    }
  }
}

function isOther(id: unknown, other: unknown): boolean {
  return typeof id === "string" && typeof other === "string" && id !== other;
}

/** The details with those of the calls, where their provider looks at them. */
export function withCalls(details: readonly JsonObject[], calls: readonly GivenCall[]): readonly unknown[] {
  // OpenRouter's encrypted details name the calls of Gemini.
  const named = new Set(details.map(({ id }) => id));
  const isWanted = calls.some(({ id, extra_content: extra }) =>
    extra !== undefined || id !== undefined && (named.has(id) || KIMI_ID.test(id))
  );
  return isWanted ? [...details, { type: CALLS, calls }] : details;
}

/** What {@linkcode withCalls} has kept of the calls, by their places. */
export function givenIn(details: readonly unknown[]): readonly GivenCall[] {
  const detail = details.find((detail) => isRecord(detail) && detail.type === CALLS);
  if (!isRecord(detail) || !Array.isArray(detail.calls)) return [];
  return detail.calls.map((call) => {
    const { id, extra_content: extra } = isRecord(call) ? call : {};
    return { ...(typeof id === "string" && { id }), ...(isRecord(extra) && { extra_content: extra }) };
  });
}

/** The details that are OpenRouter's own. */
export function providersOwn(details: readonly unknown[]): readonly unknown[] {
  return details.filter((detail) =>
    !isRecord(detail) || detail.type !== CALLS && detail.type !== REASONING_CONTENT
  );
}

/** The text of `reasoning_content`; empty if there is none. */
export function contentIn(details: readonly unknown[]): string {
  const texts = details.map((detail) =>
    isRecord(detail) && detail.type === REASONING_CONTENT ? textOf(detail.text) : ""
  );
  return texts.join("");
}
