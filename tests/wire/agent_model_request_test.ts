/** What a real worker asks of its provider, and how it adapts to what the provider refuses. */

import assert from "node:assert/strict";
import { connect } from "../support/agent_client.ts";
import { withAgent } from "../support/agent_process.ts";
import { delta, ending } from "../support/model_stream.ts";
import { type RawAnswer, RawModelServer } from "../support/raw_model_server.ts";

const GOOD: RawAnswer = { steps: [delta("Good"), ending()] };

function refusal(message: string, fields: Record<string, string> = {}): RawAnswer {
  const headers = { "content-type": "application/json" };
  return { status: 400, headers, steps: [JSON.stringify({ error: { message, ...fields } })] };
}

interface Body extends Record<string, unknown> {
  messages: unknown[];
}

Deno.test("[QU8] an empty TEMPERATURE and an empty MAX_TOKENS are not sent, and no limit is told", async () => {
  await using model = await RawModelServer.start();
  model.answer(GOOD);
  const env = { OPENROUTER_BASE_URL: model.baseUrl, TEMPERATURE: "", MAX_TOKENS: "" };
  await withAgent({ env }, async ({ wsUrl }) => {
    await using client = await connect(wsUrl);
    const welcome = await client.waitFor((frame) => frame.code === "connected");
    assert.ok(!Object.hasOwn(Object(welcome.limits), "max_tokens"));
    assert.ok(Object.hasOwn(Object(welcome.limits), "max_queue"));
    assert.equal((await client.answer("Hi")).type, "response");
    const { body } = await model.request(0);
    assert.deepEqual(Object.keys(body as Body), ["model", "messages", "stream", "stream_options"]);
  });
});

Deno.test("[MD10] [QU13] a session is not stuck behind what its model refuses, and the log names it", async () => {
  await using model = await RawModelServer.start();
  const tooLong = refusal("This model's maximum context length is 10 tokens", {
    code: "context_length_exceeded",
  });
  for (const answer of [refusal("property 'temperature' is unsupported"), GOOD, GOOD, tooLong, GOOD]) {
    model.answer(answer);
  }
  await withAgent({ env: { OPENROUTER_BASE_URL: model.baseUrl, MAX_RETRIES: "0" } }, async (agent) => {
    await using client = await connect(agent.wsUrl);
    for (const question of ["one", "two"]) assert.equal((await client.answer(question)).data, undefined);
    assert.deepEqual((await client.answer("three")).data, { trimmed: 2 });
    const bodies = model.requests.map(({ body }) => body as Body);
    assert.deepEqual(bodies.map((body) => "temperature" in body), [true, false, false, false, false]);
    assert.deepEqual(bodies.map(({ messages }) => messages.length), [2, 2, 4, 6, 4]);
    const lines = agent.log.map(({ event, field, model, status }) => ({ event, field, model, status }));
    const of = (name: string): object[] => lines.filter(({ event }) => event === name);
    assert.deepEqual(of("model_parameter_dropped"), [
      { event: "model_parameter_dropped", field: "temperature", model: "openai/gpt-4-turbo", status: 400 },
    ]);
    assert.deepEqual(of("model_prompt_trimmed"), [
      { event: "model_prompt_trimmed", field: undefined, model: "openai/gpt-4-turbo", status: 400 },
    ]);
    assert.deepEqual(of("model_attempt_failed"), []);
  });
});

Deno.test("[MD4] more than three models for OpenRouter is a mistake that the log names at once", async () => {
  const env = { MODEL_DIALECT: "openrouter", MODEL: "a/a", MODEL_FALLBACKS: "b/b,c/c,d/d" };
  await withAgent({ env }, async (agent) => {
    const response = await fetch(`${agent.wsUrl.replace("ws", "http")}/health`);
    await response.body?.cancel();
    assert.equal(response.status, 503);
    const [line] = agent.log;
    assert.equal(line?.event, "config_invalid");
    assert.match(String(line.problems), /^MODEL_FALLBACKS: must have at most 2 models/);
  });
});

Deno.test("[MD4] a model that a client chooses takes the place of the last fallback", async () => {
  await using model = await RawModelServer.start();
  model.answer(GOOD);
  const env = {
    OPENROUTER_BASE_URL: model.baseUrl,
    MODEL_DIALECT: "openrouter",
    MODEL: "a/a",
    MODEL_FALLBACKS: "b/b,c/c",
    ALLOWED_MODELS: "a/a,d/d",
  };
  await withAgent({ env }, async ({ wsUrl }) => {
    await using client = await connect(wsUrl);
    client.send({ type: "query", id: "q1", content: "Hi", options: { model: "d/d" } });
    await client.waitFor((frame) => frame.type === "response");
    const { body } = await model.request(0);
    assert.deepEqual((body as Body).models, ["d/d", "a/a", "b/b"]);
  });
});
