import assert from "node:assert/strict";
import { delta, ending } from "../../support/model_stream.ts";
import { Asked, FakeProvider, QUESTION } from "./fake_provider.ts";

const TOOLS = [{
  name: "find_orders",
  description: "Finds orders.",
  parameters: { type: "object", properties: {} },
}];
const OFFERING = { ...QUESTION, tools: TOOLS };

const error = (message: string, fields: object = {}): string =>
  JSON.stringify({ error: { message, ...fields } });

/** How servers say that a model knows no tools: status and body. */
const WITHOUT_TOOLS: Record<string, readonly [status: number, body: string]> = {
  "OpenRouter": [
    404,
    error("No endpoints found that support tool use. To learn more about provider routing, visit: …"),
  ],
  "Ollama": [
    400,
    error("registry.ollama.ai/library/gemma3:4b does not support tools", { type: "api_error" }),
  ],
  "Ollama's own API": [400, '{"error":"registry.ollama.ai/library/Qwen3.5:0.8b does not support tools"}'],
  "DeepSeek": [
    400,
    error("deepseek-reasoner does not support Function Calling", { type: "invalid_request_error" }),
  ],
  "Groq": [400, error("`tool calling` is not supported with this model")],
  "Mistral": [400, '{"object":"error","message":"Function calling is not enabled for this model"}'],
  "OpenAI": [
    400,
    error("Unsupported parameter: 'tools' is not supported with this model.", { param: "tools" }),
  ],
  "pydantic": [
    422,
    '{"detail":[{"type":"extra_forbidden","loc":["body","tools"],"msg":"Extra inputs are not permitted"}]}',
  ],
  "vLLM": [
    400,
    error('"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'),
  ],
  "llama.cpp": [500, error("tools param requires --jinja flag", { code: 500, type: "server_error" })],
  "Bedrock": [400, error("This model doesn't support tool use in streaming mode.")],
};

for (const [name, [status, body]] of Object.entries(WITHOUT_TOOLS)) {
  Deno.test(`createOpenRouter: ${name} refuses tools: the error says so, and it is not asked again without them`, async () => {
    const provider = new FakeProvider();
    provider.respond(status, body);
    await assert.rejects(new Asked(provider.model({ maxRetries: 2 }), OFFERING).reply, {
      code: "model_rejected",
      message: "the model does not support tools",
      retryable: false,
    });
    assert.equal(provider.requests.length, 1);
  });
}

Deno.test("createOpenRouter: the next model is asked where the first one knows no tools", async () => {
  const provider = new FakeProvider();
  provider.respond(...WITHOUT_TOOLS.Ollama ?? assert.fail());
  provider.stream(delta("Hi"), ending());
  await new Asked(provider.model(), { ...OFFERING, models: ["a/one", "b/two"] }).reply;
  assert.deepEqual(provider.requests.map(({ body }) => (body as { model: string }).model), [
    "a/one",
    "b/two",
  ]);
});

Deno.test("createOpenRouter: a definition that is refused is named, and not left out", async () => {
  const bodies = [
    error("Invalid schema for function 'find_orders': schema must be of type 'object'", {
      param: "tools[0].function.parameters",
      code: "invalid_function_parameters",
    }),
    '{"detail":[{"type":"missing","loc":["body","tools",0,"function"],"msg":"Field required"}]}',
    error("* GenerateContentRequest.tools[0].function_declarations[0].parameters: should be non-empty"),
  ];
  for (const body of bodies) {
    const provider = new FakeProvider();
    provider.respond(400, body);
    await assert.rejects(new Asked(provider.model(), OFFERING).reply, {
      code: "model_rejected",
      message: "the model provider refused the definition of a tool",
    });
    assert.equal(provider.requests.length, 1);
  }
});

Deno.test("createOpenRouter: a call that the provider could not read itself is asked for again", async () => {
  const provider = new FakeProvider();
  provider.respond(
    400,
    error("Failed to call a function. See 'failed_generation'.", { code: "tool_use_failed" }),
  );
  await assert.rejects(new Asked(provider.model(), OFFERING).reply, {
    code: "model_unavailable",
    retryable: true,
  });
});

Deno.test("createOpenRouter: other failures of a request with tools stay what they are", async () => {
  const cases = [
    [401, error("Invalid key for tools"), "model_unauthorized"],
    [429, error("This model does not support tools at this rate"), "model_rate_limited"],
    [400, error("no"), "model_rejected"],
  ] as const;
  for (const [status, body, code] of cases) {
    const provider = new FakeProvider();
    provider.respond(status, body);
    const thrown = await new Asked(provider.model(), OFFERING).reply.catch((reason: unknown) =>
      reason
    ) as Error;
    assert.equal((thrown as { code?: string }).code, code);
    assert.notEqual(thrown.message, "the model does not support tools");
  }
});
