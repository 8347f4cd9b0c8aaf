/** Recognizes that a provider refused a request because of its tools. Each provider has its own words, and few a code. */

import { AttemptFailure } from "./attempt_failure.ts";
import { readProviderError } from "./provider_error.ts";

/** The model does not support tools, or its server was started without them. */
const NO_TOOLS: readonly RegExp[] = [
  // Ollama ("registry.ollama.ai/library/x does not support tools"), DeepSeek, Groq, Bedrock, Perplexity
  /(?:doesn.t|does not|do not|not) support (?:\w+ )?(?:tools?|functions?)\b/i,
  // OpenRouter: 404
  /no endpoints found that support (?:tool|the provided .tool)/i,
  // Groq, Mistral, Gemini, Perplexity
  /(?:tool|function)[ _-]?(?:use|call(?:s|ing)?|choice)\W+(?:is |are )?(?:currently )?(?:not (?:supported|enabled|available)|unsupported|disabled)/i,
  // OpenAI, Azure, Groq, Cerebras, Fireworks
  /\btools\b\W{0,3} (?:is|are) (?:not supported|unsupported)|unsupported parameter\W{1,4}tools\b/i,
  /(?:unrecogni[sz]ed|unknown|unexpected)[^.]{0,40}\btools\b|additional propert[^.]{0,20}\btools\b/i,
  // llama.cpp ("tools param requires --jinja flag"); vLLM
  /requires? --(?:jinja|enable-auto-tool-choice)/i,
];
/** The definition of a tool is refused: OpenAI, Azure, Gemini, Anthropic. */
const BAD_DEFINITION =
  /invalid[ _]function[ _]parameters|invalid schema for function|\btools[.[]\d|function_declarations|input_schema/i;
/** The model wrote a call that its provider could not read: Groq. Another attempt may bring another call. */
const BAD_CALL = /tool_use_failed|failed to call a function|tool call validation failed/i;
const EXTRA_FIELD = /extra|not permitted|unrecogni[sz]ed|unexpected|unknown|not supported|unsupported/i;

interface Refusal {
  status?: number | undefined;
  detail: string;
}

/** The failure in the words of its cause; the same failure if that is not the tools. For requests with tools only. */
export function toolFailure(failure: AttemptFailure): AttemptFailure {
  const { status, detail, usage } = failure;
  const options = { status, detail, usage };
  if (isBadCall(failure)) {
    return new AttemptFailure(
      "model_unavailable",
      "the model called a tool in a way that its provider could not read",
      options,
    );
  }
  if (lacksTools(failure)) {
    return new AttemptFailure("model_rejected", "the model does not support tools", {
      ...options,
      retryable: false,
    });
  }
  if (!isRefused(failure) || !hasBadDefinition(detail)) return failure;
  const message = "the model provider refused the definition of a tool";
  return new AttemptFailure("model_rejected", message, { ...options, retryable: false });
}

/** Whether another model may take the same tools. */
export function lacksTools(refusal: Refusal): boolean {
  if (!isRefused(refusal)) return false;
  const { texts, fields } = readProviderError(refusal.detail);
  if (texts.some((text) => NO_TOOLS.some((words) => words.test(text)))) return true;
  return fields.some(({ path, text }) => path.at(-1) === "tools" && EXTRA_FIELD.test(text));
}

function isBadCall({ status, detail }: Refusal): boolean {
  return (status === undefined || status === 400 || status === 422) && BAD_CALL.test(detail);
}

function hasBadDefinition(detail: string): boolean {
  const { texts, fields } = readProviderError(detail);
  return texts.some((text) => BAD_DEFINITION.test(text)) || fields.some(({ path }) => path.includes("tools"));
}

/** Not about keys, credit or rates. Older llama.cpp answers 500, an error in the stream has no status. */
function isRefused({ status }: Refusal): boolean {
  return status === undefined || [400, 404, 422, 500, 501].includes(status);
}
