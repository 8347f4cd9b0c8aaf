/** The part of a reply that is for tools: the calls, and what the next request has to hand back with them. */

import type { ModelReply, ModelRequest } from "../ports/model.ts";
import { isRecord, type JsonObject } from "./json_values.ts";
import { ReasoningDetails, type ReasoningField, withCalls } from "./reasoning_details.ts";
import { ToolCallAssembler, type ToolCallOptions } from "./tool_calls.ts";

export interface ReplyToolsOptions extends ToolCallOptions {
  /** Undefined: nothing of the reasoning is handed back. */
  reasoningField: ReasoningField | undefined;
}

/** The options for a reply; undefined for a request that offers no tools, whose reply can call none. */
export function replyToolsFor(
  { tools = [], messages }: Pick<ModelRequest, "tools" | "messages">,
  { random, reasoningField }: Pick<ReplyToolsOptions, "random" | "reasoningField">,
): ReplyToolsOptions | undefined {
  if (tools.length === 0) return undefined;
  const usedIds = new Set(messages.flatMap(({ calls = [] }) => calls.map(({ id }) => id)));
  return { names: new Set(tools.map(({ name }) => name)), usedIds, random, reasoningField };
}

export class ReplyTools {
  readonly #calls: ToolCallAssembler;
  readonly #reasoning: ReasoningDetails | undefined;
  readonly #onCalled: ((text: string) => void) | undefined;

  /** `onCalled` gets the text of each piece of a call, for an estimate of tokens. */
  constructor(options: ReplyToolsOptions, onCalled?: (text: string) => void) {
    const { reasoningField } = options;
    this.#calls = new ToolCallAssembler(options);
    this.#reasoning = reasoningField === undefined ? undefined : new ReasoningDetails(reasoningField);
    this.#onCalled = onCalled;
  }

  get hasCall(): boolean {
    return this.#calls.size > 0;
  }

  /** Another call has begun, so the first one is whole. */
  get hasWholeCall(): boolean {
    return this.#calls.size > 1;
  }

  /** Takes a delta or a message. Returns how many characters are new. Throws as {@linkcode ToolCallAssembler.add} does. */
  add(delta: JsonObject): number {
    const { tool_calls: list, function_call: old } = delta;
    let chars = this.#reasoning?.add(delta) ?? 0;
    if (Array.isArray(list)) chars += this.#addCalls(list);
    else if (isRecord(old)) chars += this.#addCalls([{ index: 0, ...old }]);
    return chars;
  }

  #addCalls(list: readonly unknown[]): number {
    const text = this.#calls.add(list);
    if (text !== "") this.#onCalled?.(text);
    return text.length;
  }

  /** For the reply; empty without calls. */
  end(): Pick<ModelReply, "calls" | "reasoningDetails"> {
    const calls = this.#calls.calls();
    if (calls.length === 0) return {};
    const reasoningDetails = withCalls(this.#reasoning?.all ?? [], this.#calls.given());
    return { calls, ...(reasoningDetails.length > 0 && { reasoningDetails }) };
  }
}
