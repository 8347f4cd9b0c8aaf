/** The token counts of an answer, in the spellings of the providers. */

import type { Usage } from "../protocol/log_event.ts";
import { isRecord, type JsonObject } from "./json_values.ts";

/** Undefined if the counts are missing or make no sense. */
export function readUsage(usage: JsonObject): Usage | undefined {
  const { prompt_tokens: prompt, total_tokens: total, cost } = usage;
  // Gemini leaves `completion_tokens` out while there are none.
  const completion = usage.completion_tokens ??
    (isCount(prompt) && isCount(total) ? total - prompt : undefined);
  if (!isCount(prompt) || !isCount(completion)) return undefined;
  const reasoning = reasoningTokens(usage);
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: isCount(total) ? total : prompt + completion,
    ...(isCount(reasoning) && { reasoning_tokens: reasoning }),
    ...(typeof cost === "number" && Number.isFinite(cost) && cost >= 0 && { cost }),
  };
}

/** OpenAI has them in the details; Perplexity beside the other counts. */
function reasoningTokens(
  { completion_tokens_details: details, reasoning_tokens: tokens }: JsonObject,
): unknown {
  return isRecord(details) ? details.reasoning_tokens ?? tokens : tokens;
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}
