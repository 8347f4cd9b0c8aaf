import assert from "node:assert/strict";
import { readPromptLimit } from "../../../supabase/functions/_shared/openrouter/prompt_limit.ts";

/** Bodies that say that a prompt is too long, with the share of it that would fit, where there are numbers. */
const TOO_LONG: [name: string, body: unknown, share?: number][] = [
  ["OpenAI", {
    error: {
      message:
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 16,384 tokens. " +
        "Please reduce the length of the messages.",
      param: "messages",
      code: "context_length_exceeded",
    },
  }, 0.5],
  ["OpenAI, with the answer", {
    error: {
      message:
        "This model's maximum context length is 8192 tokens. However, you requested 12000 tokens (10500 in the " +
        "messages, 1500 in the completion). Please reduce the length of the messages or completion.",
    },
  }, 6692 / 10500],
  ["OpenAI, Responses", { error: { message: "Your input exceeds the context window of this model." } }],
  ["OpenAI, the code alone", { error: { message: "Bad request", code: "context_length_exceeded" } }],
  ["OpenAI, too large for the rate", {
    error: { message: "Request too large for gpt-4o on tokens per min (TPM): Limit 10000, Requested 40000." },
  }, 0.25],
  ["OpenRouter", {
    error: {
      code: 400,
      message:
        "This endpoint's maximum context length is 8192 tokens. However, you requested about 17884 tokens " +
        "(16384 of text input, 1500 in the output). Please reduce the length of either one.",
    },
  }, 6692 / 16384],
  ["Anthropic", { error: { message: "prompt is too long: 400000 tokens > 200000 maximum" } }, 0.5],
  ["Anthropic, with the answer", {
    error: {
      message:
        "input length and `max_tokens` exceed context limit: 190000 + 34000 > 200000, decrease input length",
    },
  }, 166 / 190],
  ["Gemini", [{
    error: {
      code: 400,
      message: "The input token count (2097152) exceeds the maximum number of tokens allowed (1048576).",
      status: "INVALID_ARGUMENT",
    },
  }], 0.5],
  ["llama.cpp", {
    error: {
      code: 400,
      message: "request (9000 tokens) exceeds the available context size (4500 tokens), try increasing it",
      type: "exceed_context_size_error",
    },
  }, 0.5],
  ["llama.cpp, older", {
    error: { message: "the request exceeds the available context size. try increasing it" },
  }],
  ["LM Studio", {
    error:
      "The number of tokens to keep from the initial prompt is greater than the context length. Try a larger one.",
  }],
  ["vLLM", {
    object: "error",
    message:
      "This model's maximum context length is 4096 tokens. However, you requested 0 output tokens and your " +
      "prompt contains at least 8192 input tokens, for a total of at least 8192 tokens.",
    code: 400,
  }, 0.5],
  ["Mistral", {
    message:
      "Prompt contains 65536 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
  }, 0.5],
  ["Groq", {
    error: {
      message: "Please reduce the length of the messages or completion.",
      code: "context_length_exceeded",
    },
  }],
  ["xAI", "This model's maximum prompt length is 131072 but the request contains 262144 tokens.", 0.5],
  [
    "Moonshot",
    { error: { message: "Your request exceeded model token limit: 262144 (requested: 524288)" } },
    0.5,
  ],
  ["Poolside", {
    error: { message: "Input length 131000 exceeds the maximum allowed input length of 65500 tokens." },
  }, 0.5],
  ["SGLang", { message: "Input length (200000) exceeds model's maximum context length (100000)." }, 0.5],
  ["GitHub Copilot", { error: { message: "prompt token count of 20000 exceeds the limit of 10000" } }, 0.5],
  ["Bedrock", { message: "Input is too long for requested model." }],
  ["Alibaba", { error: { message: "Range of input length should be [1, 30720]" } }],
  ["Z.ai", { error: { code: "1261", message: "Prompt exceeds max length" } }],
  ["TGI", {
    error:
      "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 6692 `inputs` tokens " +
      "and 750 `max_new_tokens`",
  }, 0.5],
  ["a proxy", "<html><head><title>413 Request Entity Too Large</title></head></html>"],
  ["OpenRouter, with the provider's body in a string", {
    error: {
      message: "Provider returned error",
      code: 400,
      metadata: {
        raw: JSON.stringify({ error: { message: "prompt is too long: 400000 tokens > 200000 maximum" } }),
      },
    },
  }, 0.5],
];
/** Statuses that go with a name; 400 for the others. */
const STATUSES: Record<string, number> = { "OpenAI, too large for the rate": 429, "a proxy": 413 };

for (const [name, body, share] of TOO_LONG) {
  Deno.test(`[QU13] readPromptLimit: ${name}`, () => {
    const detail = typeof body === "string" ? body : JSON.stringify(body);
    const limit = readPromptLimit({ status: STATUSES[name] ?? 400, detail });
    assert.ok(limit, detail);
    assert.equal(limit.share?.toFixed(4), share?.toFixed(4));
    assert.equal(limit.isAnswerTooLong, false);
  });
}

Deno.test("[QU13] readPromptLimit: the bound of the answer is what does not fit", () => {
  const bodies = [
    "'max_tokens' or 'max_completion_tokens' is too large: 1500. This model's maximum context length is 2048 tokens and " +
    "your request has 1000 input tokens (1500 > 2048 - 1000).",
    "This model's maximum context length is 2048 tokens. However, you requested 2400 tokens (900 in the messages, 1500 in " +
    "the completion).",
  ];
  for (const detail of bodies) {
    const limit = readPromptLimit({ status: 400, detail });
    assert.deepEqual([limit?.countsAnswer, limit?.isAnswerTooLong], [true, true], detail);
  }
});

Deno.test("[QU13] readPromptLimit: other refusals are about something else", () => {
  const others: [status: number | undefined, detail: string][] = [
    [400, "Unsupported parameter: 'max_tokens' is not supported with this model."],
    [400, "max_tokens: 100000 > 8192, which is the maximum allowed number of output tokens for claude-x"],
    [400, "max_tokens is too large: 100000. This model supports at most 4096 completion tokens"],
    [400, "The response was filtered due to the prompt triggering our content management policy"],
    [400, "messages: roles must alternate"],
    [401, "prompt is too long"],
    [402, "Prompt tokens limit exceeded: 10000 > 2000. To increase, upgrade to a paid account"],
    [429, "Too many tokens, please wait before trying again."],
    [429, "Rate limit reached: please reduce the length of the messages or try again later"],
    [500, "Internal server error"],
    [undefined, "nothing came for 30000 ms"],
    [undefined, ""],
  ];
  for (const [status, detail] of others) assert.equal(readPromptLimit({ status, detail }), undefined, detail);
});
