/** What a model thought before it called tools, collected for the next request. */

import { isRecord, type JsonObject, textOf } from "./json_values.ts";

/** The type of our own detail: the text of `reasoning_content`, which DeepSeek and Moonshot want back in that field. */
export const REASONING_CONTENT = "reasoning_content";

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

  /** Undefined if there are none. */
  get all(): readonly unknown[] | undefined {
    return this.#details.length === 0 ? undefined : this.#details;
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
