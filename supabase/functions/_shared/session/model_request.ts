/** What the model is asked for a turn. */

import type { ModelMessage, ModelRequest } from "../ports/model.ts";
import type { QueryOptions } from "../protocol/client_frames.ts";
import type { ReasoningEffort } from "../protocol/reasoning_effort.ts";

/** The operator's defaults. What is undefined is not sent, so the provider's default applies. */
export interface ModelSettings {
  systemPrompt: string;
  models: readonly string[];
  temperature?: number | undefined;
  maxTokens?: number | undefined;
  reasoningEffort?: ReasoningEffort | undefined;
}

/** What a query asks for. `options`: its own, and what `configure` has set; the operator's defaults come last. */
export interface Asked {
  messages: readonly ModelMessage[];
  partial: string;
  options: QueryOptions;
}

/** The expected length of an answer without a limit: the longest that the memory budget counts before it is written. */
const UNLIMITED_ANSWER_TOKENS = 4096;

/** How many tokens an answer may have, for estimates of its memory and its progress. */
export function expectedTokens({ maxTokens }: Pick<ModelRequest, "maxTokens">): number {
  return maxTokens ?? UNLIMITED_ANSWER_TOKENS;
}

export function requestFor({ messages, partial, options }: Asked, settings: ModelSettings): ModelRequest {
  const { models, systemPrompt } = settings;
  const { model, temperature = settings.temperature, max_tokens = settings.maxTokens, reasoning } = options;
  return {
    messages: [{ role: "system", content: systemPrompt }, ...messages],
    partial,
    models: model === undefined ? models : [model, ...models.filter((other) => other !== model)],
    temperature,
    maxTokens: max_tokens,
    reasoningEffort: reasoning?.effort ?? settings.reasoningEffort,
  };
}

/** What a query without options is asked with. */
export function inForce(defaults: QueryOptions, settings: ModelSettings): Record<string, unknown> {
  const { models, temperature, maxTokens, reasoningEffort } = settings;
  return {
    model: models[0],
    ...(temperature !== undefined && { temperature }),
    ...(maxTokens !== undefined && { max_tokens: maxTokens }),
    ...(reasoningEffort !== undefined && { reasoning: { effort: reasoningEffort } }),
    ...defaults,
  };
}
