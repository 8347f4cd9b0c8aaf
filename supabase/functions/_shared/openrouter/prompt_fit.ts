/** Keeps prompts within a number of tokens: the oldest exchanges go first. */

import type { ModelMessage, ModelRequest } from "../ports/model.ts";
import { remember } from "./remember.ts";

/** Models whose ratio of tokens to characters is remembered. */
const MAX_MODELS = 200;
const TOKENS_PER_CHAR = 1 / 4;
/** Bounds of the ratio: no tokenizer is outside them by much, and no user's text may spoil the estimate for the others. */
const MIN_RATIO = 1 / 8;
const MAX_RATIO = 1.5;
/** The ratio is one of sums. The default counts as so many characters, and each prompt takes away a part of those before it. */
const PRIOR_CHARS = 400;
const KEPT_SHARE = 0.7;

interface Sums {
  chars: number;
  tokens: number;
}

const PRIOR: Sums = { chars: PRIOR_CHARS, tokens: PRIOR_CHARS * TOKENS_PER_CHAR };

/** A prompt in its parts. Only exchanges may be left out: a question with its answer, tool calls and their results. */
interface Prompt {
  system: readonly ModelMessage[];
  exchanges: readonly (readonly ModelMessage[])[];
  /** With the calls and results of the answer so far. */
  question: readonly ModelMessage[];
}

export class PromptFit {
  readonly #maxTokens: number;
  readonly #sums = new Map<string, Sums>();

  /** `maxTokens`: `MAX_PROMPT_TOKENS`; 0 for no limit. */
  constructor(maxTokens: number) {
    this.#maxTokens = maxTokens;
  }

  /** The messages that fit, by estimate. The system prompt, the tools, the question and the beginning of its answer always stay. */
  fit(request: ModelRequest): readonly ModelMessage[] {
    if (this.#maxTokens === 0) return request.messages;
    const maxChars = this.#maxTokens / this.#ratioOf(request.models[0] ?? "");
    return keepNewest(request, maxChars);
  }

  /** Corrects the estimate by what the provider counted for a prompt of the model. */
  learn(request: ModelRequest, promptTokens: number): void {
    if (this.#maxTokens === 0 || promptTokens <= 0) return;
    const [model = ""] = request.models;
    const { chars, tokens } = this.#sums.get(model) ?? PRIOR;
    const sums = {
      chars: KEPT_SHARE * chars + charsOf(request.messages) + charsBeside(request),
      tokens: KEPT_SHARE * tokens + promptTokens,
    };
    remember(this.#sums, model, sums, MAX_MODELS);
  }

  #ratioOf(model: string): number {
    const { chars, tokens } = this.#sums.get(model) ?? PRIOR;
    return Math.min(MAX_RATIO, Math.max(MIN_RATIO, tokens / chars));
  }
}

/** Whether there is anything that may be left out. */
export function hasHistory({ messages }: Pick<ModelRequest, "messages">): boolean {
  return partsOf(messages).exchanges.length > 0;
}

/** The newest half of the history by its characters; less of it if only `share` of the whole prompt fits. */
export function keepHalf(request: ModelRequest, share = 1): readonly ModelMessage[] {
  const { exchanges } = partsOf(request.messages);
  const history = charsOf(exchanges.flat());
  const rest = charsOf(request.messages) - history + charsBeside(request);
  return keepNewest(request, Math.min(rest + history / 2, share * (rest + history)));
}

/** The system prompt and the question. */
export function keepQuestion({ messages }: Pick<ModelRequest, "messages">): readonly ModelMessage[] {
  const { system, question } = partsOf(messages);
  return [...system, ...question];
}

/** As many of the newest exchanges as fit into `maxChars` together with what has to stay. */
function keepNewest(request: ModelRequest, maxChars: number): readonly ModelMessage[] {
  const { messages } = request;
  const { system, exchanges, question } = partsOf(messages);
  let chars = charsOf(system) + charsOf(question) + charsBeside(request);
  let first = exchanges.length;
  while (first > 0) {
    chars += charsOf(exchanges[first - 1] ?? []);
    if (chars > maxChars) break;
    first--;
  }
  return first === 0 ? messages : [...system, ...exchanges.slice(first).flat(), ...question];
}

function partsOf(messages: readonly ModelMessage[]): Prompt {
  const start = messages.findIndex(({ role }) => role !== "system");
  const system = start < 0 ? messages : messages.slice(0, start);
  const exchanges: ModelMessage[][] = [];
  for (const message of messages.slice(system.length)) {
    const open = exchanges.at(-1);
    if (open === undefined || message.role === "user") exchanges.push([message]);
    else open.push(message);
  }
  return { system, exchanges: exchanges.slice(0, -1), question: exchanges.at(-1) ?? [] };
}

function charsOf(messages: readonly ModelMessage[]): number {
  return messages.reduce((sum, { content, calls = [] }) => {
    const written = calls.reduce((chars, call) => chars + call.name.length + call.arguments.length, 0);
    return sum + content.length + written;
  }, 0);
}

/** Of what is no message: the tools, and the beginning of the answer. */
function charsBeside({ partial, tools = [] }: ModelRequest): number {
  return partial.length +
    (tools.length === 0 ? 0 : JSON.stringify(tools).length);
}
