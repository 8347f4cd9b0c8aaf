/** What the model is asked for a turn. */

import type { History } from "../agent/history.ts";
import type { Turn } from "../agent/turn.ts";
import type { ModelRequest } from "../ports.ts";
import type { QueryOptions } from "../protocol/client_frames.ts";

export interface ModelSettings {
  systemPrompt: string;
  models: readonly string[];
  temperature: number;
  maxTokens: number;
}

/** An answer that was begun elsewhere is the last message: the model goes on with it. */
export function requestFor(
  { query, text }: Turn,
  history: History,
  settings: ModelSettings & { defaults: QueryOptions },
): ModelRequest {
  const { models, systemPrompt, defaults } = settings;
  const { model, temperature = settings.temperature, max_tokens = settings.maxTokens } = {
    ...defaults,
    ...query.options,
  };
  const messages = history.prompt(systemPrompt, query);
  return {
    messages: text === "" ? messages : [...messages, { role: "assistant", content: text }],
    models: model === undefined ? models : [model, ...models.filter((other) => other !== model)],
    temperature,
    maxTokens: max_tokens,
  };
}
