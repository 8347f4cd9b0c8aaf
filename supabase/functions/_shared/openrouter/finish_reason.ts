/** Why a model ended its answer, in the providers' spellings. */

import type { JsonObject } from "./json_values.ts";

/** What others call it, in lower case, and OpenAI's word for it. */
const NAMES: ReadonlyMap<string, string> = new Map(Object.entries({
  // Anthropic, Cohere, Hugging Face
  end_turn: "stop",
  stop_sequence: "stop",
  complete: "stop",
  eos: "stop",
  eos_token: "stop",
  stop: "stop",
  // Anthropic and Gemini; Mistral
  max_tokens: "length",
  model_length: "length",
  length: "length",
  // Gemini; Zhipu
  safety: "content_filter",
  recitation: "content_filter",
  blocklist: "content_filter",
  prohibited_content: "content_filter",
  spii: "content_filter",
  sensitive: "content_filter",
  content_filter: "content_filter",
  // Anthropic; OpenAI before tools
  tool_use: "tool_calls",
  function_call: "tool_calls",
  tool_calls: "tool_calls",
}));

/**
 * Reasons that say that the answer broke off: OpenRouter's `error`, DeepSeek's `insufficient_system_resource`
 * (https://api-docs.deepseek.com/api/create-chat-completion), Zhipu's `network_error`, vLLM's `abort`.
 */
const FAILURES: ReadonlySet<string> = new Set([
  "error",
  "insufficient_system_resource",
  "network_error",
  "abort",
]);

/**
 * The reason of a choice; undefined while it has none. vLLM's `stop_reason` names the stop sequence beside `finish_reason`, which
 * comes first for that.
 */
export function finishReasonOf(choice: JsonObject): string | undefined {
  const reason = choice.finish_reason ?? choice.finishReason ?? choice.stop_reason ?? choice.stopReason;
  // Ollama has sent "" for null (https://github.com/ollama/ollama/issues/4357), Alibaba's DashScope "null".
  if (typeof reason !== "string" || reason === "" || reason === "null") return undefined;
  return NAMES.get(reason.toLowerCase()) ?? reason;
}

/**
 * The answer is not whole, whatever came of it. Gemini names a tool call that it could not read, alone or in
 * `function_call_filter: MALFORMED_FUNCTION_CALL`.
 */
export function isFailure(finishReason: string): boolean {
  return FAILURES.has(finishReason) || /malformed_function_call|unexpected_tool_call/i.test(finishReason);
}
