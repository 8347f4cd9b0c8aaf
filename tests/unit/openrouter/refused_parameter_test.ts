import assert from "node:assert/strict";
import { refusedParameters } from "../../../supabase/functions/_shared/openrouter/refused_parameter.ts";

/** A request with everything that may be refused. */
const SENT = {
  model: "test/model",
  models: ["test/model", "b/two"],
  messages: [{ role: "user", content: "Hello?" }],
  temperature: 1.5,
  max_tokens: 100,
  reasoning: { effort: "high" },
  reasoning_effort: "high",
  stream: true,
  stream_options: { include_usage: true },
  usage: { include: true },
};

function refused(detail: unknown, status: number | undefined = 400): [field: string, isValueOnly: boolean][] {
  const text = typeof detail === "string" ? detail : JSON.stringify(detail);
  return refusedParameters({ status, detail: text }, SENT).map((
    { field, isValueOnly },
  ) => [field, isValueOnly]);
}

function openai(message: string, param: string | null = null, code: string | null = null): object {
  return { error: { message, type: "invalid_request_error", param, code } };
}

/** Bodies in which a provider refuses a parameter, whatever its value. */
const PARAMETERS: Record<string, [body: unknown, field: string]> = {
  "OpenAI, unsupported": [
    openai(
      "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
      "max_tokens",
      "unsupported_parameter",
    ),
    "max_tokens",
  ],
  "OpenAI, unknown": [
    openai("Unknown parameter: 'reasoning'.", "reasoning", "unknown_parameter"),
    "reasoning",
  ],
  "OpenAI, part of a field": [
    openai("Unknown parameter: 'stream_options.include_usage'.", "stream_options.include_usage"),
    "stream_options",
  ],
  "OpenAI, older": [openai("Unrecognized request argument supplied: usage"), "usage"],
  "OpenAI, several in a text": [openai("Unrecognized request arguments supplied: models, usage"), "models"],
  "OpenAI, only the default": [
    openai(
      "Unsupported value: 'temperature' does not support 1.5 with this model. Only the default (1) value is supported.",
      "temperature",
      "unsupported_value",
    ),
    "temperature",
  ],
  "Mistral": [
    {
      object: "error",
      message: {
        detail: [{ type: "extra_forbidden", loc: ["body", "usage"], msg: "Extra inputs are not permitted" }],
      },
      type: "invalid_request_error",
    },
    "usage",
  ],
  "Mistral, newer": [
    {
      object: "Error",
      detail: [{
        type: "extra_forbidden",
        loc: ["body", "stream_options"],
        msg: "Extra inputs are not permitted",
      }],
      code: 3001,
    },
    "stream_options",
  ],
  "pydantic in Python's notation": [
    openai(
      "[{'type': 'extra_forbidden', 'loc': ('body', 'stream_options'), 'msg': 'Extra inputs are not permitted'}]",
    ),
    "stream_options",
  ],
  "Google, in a list": [
    [{
      error: {
        code: 400,
        message: 'Invalid JSON payload received. Unknown name "usage": Cannot find field.',
      },
    }],
    "usage",
  ],
  "Groq": [openai("property 'usage' is unsupported"), "usage"],
  "Groq, reasoning": [openai("`reasoning_effort` is not supported with this model"), "reasoning_effort"],
  "Cerebras": [
    { message: "body.usage: property 'body.usage' is unsupported", param: "validation_error" },
    "usage",
  ],
  "Fireworks": [
    { error: { message: "Extra inputs are not permitted, field: 'stream_options'" } },
    "stream_options",
  ],
  "Perplexity": [openai('["At body -> usage: Extra inputs are not permitted"]'), "usage"],
  "Anthropic": [
    {
      type: "error",
      error: { type: "invalid_request_error", message: "usage: Extra inputs are not permitted" },
    },
    "usage",
  ],
  "Anthropic, deprecated": [openai("`temperature` is deprecated for this model."), "temperature"],
  "DeepSeek, with a list of what is known": [
    "Failed to deserialize the JSON body into the target type: unknown field `usage`, expected one of `model`, " +
    "`messages`, `temperature`, `max_tokens`, `stream` at line 1 column 99",
    "usage",
  ],
  "Go": [openai('json: unknown field "stream_options"'), "stream_options"],
  "JSON schema": [openai("Additional properties are not allowed ('usage' was unexpected)"), "usage"],
  "zod": [
    {
      error: {
        issues: [{ code: "unrecognized_keys", keys: ["usage"], path: [], message: "Unrecognized key" }],
      },
    },
    "usage",
  ],
  "xAI, in camel case": [
    { code: "invalid-argument", error: "Model grok-4 does not support parameter reasoningEffort." },
    "reasoning_effort",
  ],
  "LiteLLM": [
    openai(
      "litellm.UnsupportedParamsError: gemini does not support parameters: ['reasoning_effort'], for model=x",
    ),
    "reasoning_effort",
  ],
  "OpenRouter, with the provider's body in a string": [
    {
      error: {
        message: "Provider returned error",
        code: 400,
        metadata: {
          raw: JSON.stringify(
            openai("Unsupported parameter: 'temperature' is not supported with this model."),
          ),
          provider_name: "OpenAI",
        },
      },
    },
    "temperature",
  ],
  "Azure AI Foundry": [
    openai("Extra parameters ['stream_options'] are not allowed when extra-parameters is not set"),
    "stream_options",
  ],
};

for (const [name, [body, field]] of Object.entries(PARAMETERS)) {
  Deno.test(`[MD10] refusedParameters: ${name}`, () => {
    assert.deepEqual(refused(body), [[field, false]]);
    assert.deepEqual(refused(body, 422), [[field, false]]);
  });
}

/** Bodies in which a provider refuses a value: another one may be fine. */
const VALUES: Record<string, [body: unknown, field: string]> = {
  "OpenAI": [
    openai(
      "Unsupported value: 'reasoning_effort' does not support 'high' with this model. Supported values are: 'low'.",
      "reasoning_effort",
      "unsupported_value",
    ),
    "reasoning_effort",
  ],
  "OpenAI, too large": [
    openai(
      "max_tokens is too large: 100000. This model supports at most 4096 completion tokens, whereas you provided 100000.",
      "max_tokens",
      "invalid_value",
    ),
    "max_tokens",
  ],
  "pydantic": [
    {
      detail: [{
        type: "less_than_equal",
        loc: ["body", "temperature"],
        msg: "Input should be less than or equal to 1",
        input: 1.5,
      }],
    },
    "temperature",
  ],
  "Anthropic": [openai("temperature: range: 0..1"), "temperature"],
  "Anthropic, too many": [
    openai("max_tokens: 100000 > 8192, which is the maximum allowed number of output tokens for claude-x"),
    "max_tokens",
  ],
  "Groq": [openai("`reasoning_effort` must be one of `none` or `default`"), "reasoning_effort"],
  "serde": [
    openai("reasoning_effort: unknown variant `xhigh`, expected one of `low`, `high`"),
    "reasoning_effort",
  ],
  "OpenRouter": [openai("'models' array must have 3 items or fewer."), "models"],
  "words that do not say": [openai("Invalid temperature", "temperature"), "temperature"],
};

for (const [name, [body, field]] of Object.entries(VALUES)) {
  Deno.test(`[MD10] refusedParameters: a value, ${name}`, () => {
    assert.deepEqual(refused(body), [[field, true]]);
  });
}

Deno.test("[MD10] refusedParameters: several that are listed apart", () => {
  const extra = (name: string): object => ({
    type: "extra_forbidden",
    loc: ["body", name],
    msg: "Extra inputs",
  });
  assert.deepEqual(refused({ detail: [extra("usage"), extra("stream_options"), extra("unheard_of")] }), [
    ["usage", false],
    ["stream_options", false],
  ]);
});

Deno.test("[MD10] refusedParameters: nothing that a request needs, and nothing that was not sent", () => {
  const bodies: unknown[] = [
    openai("Unsupported parameter: 'stream'", "stream"),
    openai("Unknown model: 'test/model' is not supported", "model", "model_not_found"),
    openai("Invalid 'messages[0].content': must not be empty; see max_tokens", "messages[0].content"),
    { detail: [{ type: "extra_forbidden", loc: ["body", "messages", 0, "usage"], msg: "Extra inputs" }] },
    openai("Unsupported parameter: 'top_p' is not supported with this model.", "top_p"),
    openai("The models of this account are not available. See the usage policy."),
    openai(
      "This model does not support assistant message prefill. The conversation must end with a user message.",
    ),
    openai("Your reasoning was not understood"),
    openai("The temperature outside is lovely"),
    "",
    "<html><body>400 Bad Request</body></html>",
    "{",
    "null",
    "[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]",
  ];
  for (const body of bodies) assert.deepEqual(refused(body), [], JSON.stringify(body));
});

Deno.test("[MD10] refusedParameters: what the body repeats of the request is not the provider's word", () => {
  const input = [{ role: "user", content: "Unsupported parameter: 'temperature'" }];
  assert.deepEqual(
    refused({ detail: [{ type: "too_short", loc: ["body", "top_p"], msg: "Too short", input }] }),
    [],
  );
});

Deno.test("[MD10] refusedParameters: only of statuses that refuse a request for what is in it", () => {
  const body = openai("Unsupported parameter: 'temperature'", "temperature");
  for (const status of [undefined, 200, 401, 402, 403, 404, 408, 413, 429, 500, 503]) {
    assert.deepEqual(refusedParameters({ status, detail: JSON.stringify(body) }, SENT), [], String(status));
  }
});

Deno.test("[MD10] refusedParameters: a body that is cut off is read as text", () => {
  const whole = JSON.stringify({
    detail: [{ loc: ["body", "usage"], msg: "Extra inputs are not permitted", input: "x".repeat(20_000) }],
  });
  assert.deepEqual(refused(whole.slice(0, 8192)), [["usage", false]]);
});
