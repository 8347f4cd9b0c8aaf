import assert from "node:assert/strict";
import {
  completionsUrl,
  requestBody,
  requestHeaders,
} from "../../../supabase/functions/_shared/openrouter/request.ts";
import { delta, ending } from "../../support/model_stream.ts";
import { Asked, FakeProvider, QUESTION } from "./fake_provider.ts";

Deno.test("createOpenRouter: asks for a stream with usage, with the key and the site's name", async () => {
  const provider = new FakeProvider();
  provider.stream(delta("Hi"), ending());
  const model = provider.model({
    baseUrl: "https://provider.test/api/v1/",
    apiKey: "sk-or-v1-0123456789abcdef",
    referer: "https://example.com",
    title: "Example",
  });
  await new Asked(model).reply;
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

Deno.test("requestBody: names the models to fall back to, the wanted one first", () => {
  const body = JSON.parse(requestBody({ ...QUESTION, models: ["a/one", "b/two"] }));
  assert.equal(body.model, "a/one");
  assert.deepEqual(body.models, ["a/one", "b/two"]);
});

Deno.test("requestHeaders: no key, no authorization; nothing of a site that has no name", () => {
  const headers = requestHeaders({ baseUrl: "http://localhost:11434/v1" });
  assert.deepEqual([...headers.keys()], ["accept", "content-type"]);
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
