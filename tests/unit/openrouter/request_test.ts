import assert from "node:assert/strict";
import {
  completionsUrl,
  requestFields,
  requestHeaders,
} from "../../../supabase/functions/_shared/openrouter/request.ts";
import { delta, ending } from "../../support/model_stream.ts";
import { Asked, FakeProvider, QUESTION } from "./fake_provider.ts";

const ENDPOINT = {
  baseUrl: "https://provider.test/api/v1/",
  apiKey: "sk-or-v1-0123456789abcdef",
  referer: "https://example.com",
  title: "Example",
};

Deno.test("[MD9] createOpenRouter: asks OpenRouter for a stream with usage, with the key and the site's name", async () => {
  const provider = new FakeProvider();
  provider.stream(delta("Hi"), ending());
  await new Asked(provider.model({ ...ENDPOINT, dialect: "openrouter" })).reply;
  const [request] = provider.requests;
  assert.equal(request?.url, "https://provider.test/api/v1/chat/completions");
  assert.equal(request.headers.get("authorization"), "Bearer sk-or-v1-0123456789abcdef");
  assert.equal(request.headers.get("content-type"), "application/json");
  assert.equal(request.headers.get("http-referer"), "https://example.com");
  assert.equal(request.headers.get("x-title"), "Example");
  assert.deepEqual(request.body, {
    model: "test/model",
    messages: [{ role: "user", content: "Hello?" }],
    temperature: 0.7,
    max_tokens: 100,
    stream: true,
    usage: { include: true },
    stream_options: { include_usage: true },
  });
});

Deno.test("[MD9] createOpenRouter: any other endpoint gets nothing that is OpenRouter's own", async () => {
  const provider = new FakeProvider();
  provider.stream(delta("Hi"), ending());
  const request = { ...QUESTION, models: ["a/one", "b/two"], reasoningEffort: "low" as const };
  await new Asked(provider.model(ENDPOINT), request).reply;
  const [{ headers, body } = assert.fail()] = provider.requests;
  assert.deepEqual([headers.get("http-referer"), headers.get("x-title")], [null, null]);
  assert.deepEqual(body, {
    model: "a/one",
    messages: [{ role: "user", content: "Hello?" }],
    temperature: 0.7,
    max_tokens: 100,
    reasoning_effort: "low",
    stream: true,
    stream_options: { include_usage: true },
  });
});

Deno.test("[MD4] requestFields: OpenRouter gets the wanted model first, and at most three", () => {
  const models = ["d/wanted", "a/one", "b/two", "c/three"];
  const fields = requestFields({ ...QUESTION, models }, "openrouter");
  assert.deepEqual([fields.model, fields.models], ["d/wanted", ["d/wanted", "a/one", "b/two"]]);
  assert.ok(!("models" in requestFields(QUESTION, "openrouter")));
  assert.ok(!("models" in requestFields({ ...QUESTION, models }, "openai")));
});

Deno.test("[QU14] requestFields: the reasoning effort in the words of the dialect", () => {
  const request = { ...QUESTION, reasoningEffort: "high" as const };
  const openRouter = requestFields(request, "openrouter");
  assert.deepEqual([openRouter.reasoning, openRouter.reasoning_effort], [{ effort: "high" }, undefined]);
  for (const dialect of ["openai", "azure"] as const) {
    const fields = requestFields(request, dialect);
    assert.deepEqual([fields.reasoning, fields.reasoning_effort], [undefined, "high"]);
  }
});

Deno.test("requestFields: what has no value is not in the body", () => {
  const { messages, partial, models } = QUESTION;
  for (const dialect of ["openrouter", "openai"] as const) {
    const body = JSON.parse(JSON.stringify(requestFields({ messages, partial, models }, dialect)));
    for (const name of ["temperature", "max_tokens", "reasoning", "reasoning_effort"]) {
      assert.ok(!(name in body), name);
    }
  }
});

Deno.test("requestHeaders: no key, no authorization; nothing of a site that has no name", () => {
  const headers = requestHeaders({ baseUrl: "http://localhost:11434/v1" }, "openrouter");
  assert.deepEqual([...headers.keys()], ["accept", "content-type"]);
});

Deno.test("[MD9] requestHeaders: Azure reads a key from a header of its own, and a token of Entra ID as Bearer", () => {
  const baseUrl = "https://mine.openai.azure.com/openai/v1";
  const key = requestHeaders({ baseUrl, apiKey: "0123abc" }, "azure");
  assert.deepEqual([key.get("api-key"), key.get("authorization")], ["0123abc", null]);
  const token = requestHeaders({ baseUrl, apiKey: "eyJhbGciOi.x.y" }, "azure");
  assert.deepEqual([token.get("api-key"), token.get("authorization")], [null, "Bearer eyJhbGciOi.x.y"]);
});

Deno.test("completionsUrl: keeps the base's path and query", () => {
  const cases = {
    "http://localhost:11434/v1": "http://localhost:11434/v1/chat/completions",
    "http://localhost:11434/v1//": "http://localhost:11434/v1/chat/completions",
    "http://localhost:8080": "http://localhost:8080/chat/completions",
    "https://host/deployments/x?api-version=1": "https://host/deployments/x/chat/completions?api-version=1",
  };
  for (const [baseUrl, url] of Object.entries(cases)) assert.equal(completionsUrl({ baseUrl }), url);
});
