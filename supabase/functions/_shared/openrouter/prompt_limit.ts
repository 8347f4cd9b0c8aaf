/** Recognizes that a provider refused a prompt because it is too long. Each provider has its own words, and few a code. */

import { readProviderError } from "./provider_error.ts";

/** What the refusal says, as far as it does. */
export interface PromptLimit {
  /** The part of the prompt that would fit, in tokens: below 1, or undefined if there are no numbers. */
  share: number | undefined;
  /** It counts the answer's bound (`max_tokens`) as part of the prompt's size. */
  countsAnswer: boolean;
  /** The prompt takes no more than half of the window, so that bound is what does not fit. */
  isAnswerTooLong: boolean;
}

interface Refusal {
  status?: number | undefined;
  detail: string;
}

const TOO_LONG: readonly RegExp[] = [
  // OpenAI's and Azure's code, llama.cpp's type
  /context[_ -]?(?:length|window|size|limit)[_ -]?(?:exceeded|overflow|error)|exceed_context_size/i,
  // OpenAI, OpenRouter, vLLM, SGLang, xAI ("maximum prompt length"), Poolside ("maximum allowed input length")
  /max(?:imum)?(?: allowed| model)? (?:context|prompt|input|sequence)[ _]?(?:length|window|size|tokens?)/i,
  // OpenAI, llama.cpp, LM Studio, Anthropic ("exceed context limit")
  /(?:exceed|larger|greater|longer|too (?:long|large|big|many))[^.]{0,60}context (?:length|window|size|limit)/i,
  // MiniMax
  /context (?:length|window|size|limit)[^.]{0,30}(?:exceed|overflow)/i,
  // Anthropic, Bedrock, Vertex
  /\b(?:prompt|input|request|messages?)(?: text| tokens?)?(?: (?:is|are|was|were))? too (?:long|large)/i,
  // Gemini, GitHub Copilot, Z.ai ("Prompt exceeds max length")
  /\b(?:prompt|input|token count)[^.]{0,40} exceeds?\b|exceeds? the (?:maximum|max) number of tokens/i,
  // Mistral, Moonshot, Atlas, Alibaba
  /too large for model|exceeded model token limit|exceeds? max_(?:seq_len|model_len)|range of input length/i,
  // Hugging Face's TGI
  /\binputs\W? (?:tokens \+|must have less than)/i,
  // Groq
  /\b(?:reduce|decrease|shorten)\b[^.]{0,40}\b(?:messages|prompt|input|message size)\b/i,
];
/** Statuses that are about something else, whatever the body says: keys, credit, models, rates. */
const OF_OTHERS: ReadonlySet<number> = new Set([401, 402, 403, 404, 408, 429]);
/** The limit of tokens a minute is below this one request: waiting will not help, a shorter prompt will (OpenAI, with 429). */
const ABOVE_RATE = /request too large/i;
/** The limit is one of the answer alone: then `max_tokens` is what has to change. */
const OF_ANSWER =
  /max_(?:completion_|new_)?tokens|(?:output|completion) tokens|in the (?:output|completion)/i;
const OF_PROMPT = /context|prompt|input|messages/i;

/** Patterns of numbers, in texts without thousands separators. In each list the first that matches counts. */
const LIMITS: readonly RegExp[] = [
  /\+ \d{1,12} > (\d{3,12})/,
  /max(?:imum)?(?: allowed| model)? (?:context|prompt|input|sequence)[ _]?(?:length|window|size)\D{0,20}(\d{3,12})/i,
  /(\d{3,12}) maximum\b/i,
  /(?:exceeds?|greater than|larger than)[^.]{0,60}?(?:max(?:imum)?|limit|context (?:length|window|size))\D{0,45}(\d{3,12})/i,
  /limit:? (\d{3,12})/i,
  /must be <= (\d{3,12})/,
];
const PROMPTS: readonly RegExp[] = [
  /(\d{1,12}) (?:in (?:the|your) (?:messages|prompt)|of text input|(?:input|prompt) tokens|`inputs` tokens)/i,
  /(\d{1,12}) \+ \d{1,12} > \d/,
];
const ANSWERS: readonly RegExp[] = [
  /(\d{1,12}) (?:(?:in|for) the (?:completion|output)|(?:output|completion) tokens|`max_new_tokens`)/i,
  /\d \+ (\d{1,12}) > \d/,
];

/** Undefined if the failure is about anything else. */
export function readPromptLimit({ status, detail }: Refusal): PromptLimit | undefined {
  const text = readProviderError(detail).texts.join("\n").replace(/(\d)[,_](?=\d{3})/g, "$1");
  if (status === 413) return limitIn(text);
  if (status !== undefined && OF_OTHERS.has(status)) {
    return status === 429 && ABOVE_RATE.test(text) ? limitIn(text) : undefined;
  }
  if (OF_ANSWER.test(text) && !OF_PROMPT.test(text)) return undefined;
  return TOO_LONG.some((words) => words.test(text)) ? limitIn(text) : undefined;
}

function limitIn(text: string): PromptLimit {
  const limit = numberIn(text, LIMITS);
  const countsAnswer = OF_ANSWER.test(text);
  if (limit === undefined) return { share: undefined, countsAnswer, isAnswerTooLong: false };
  const answer = numberIn(text, ANSWERS) ?? 0;
  const largest = Math.max(...[...text.matchAll(/\b\d{3,}\b/g)].map(([digits]) => Number(digits)));
  const prompt = numberIn(text, PROMPTS) ?? largest - answer;
  const share = (limit - answer) / prompt;
  return {
    share: share > 0 && share < 1 ? share : undefined,
    countsAnswer,
    isAnswerTooLong: countsAnswer && 2 * prompt <= limit,
  };
}

function numberIn(text: string, patterns: readonly RegExp[]): number | undefined {
  for (const pattern of patterns) {
    const [, digits] = pattern.exec(text) ?? [];
    if (digits !== undefined) return Number(digits);
  }
  return undefined;
}
