/** What the model is asked for a turn. */

import type { ModelMessage, ModelRequest } from "../ports/model.ts";
import type { QueryOptions } from "../protocol/client_frames.ts";

export interface ModelSettings {
  systemPrompt: string;
  models: readonly string[];
  temperature: number;
  maxTokens: number;
}

/** What a query asks for. `options`: its own, and what `configure` has set; the operator's defaults come last. */
export interface Asked {
  messages: readonly ModelMessage[];
  partial: string;
  options: QueryOptions;
}

export function requestFor({ messages, partial, options }: Asked, settings: ModelSettings): ModelRequest {
  const { models, systemPrompt } = settings;
  const { model, temperature = settings.temperature, max_tokens = settings.maxTokens } = options;
  return {
    messages: [{ role: "system", content: systemPrompt }, ...messages],
    partial,
    models: model === undefined ? models : [model, ...models.filter((other) => other !== model)],
    temperature,
    maxTokens: max_tokens,
  };
}

/** What a query without options is asked with. */
export function inForce(defaults: QueryOptions, settings: ModelSettings): Record<string, unknown> {
  return {
    model: settings.models[0],
    temperature: settings.temperature,
    max_tokens: settings.maxTokens,
    ...defaults,
  };
}
