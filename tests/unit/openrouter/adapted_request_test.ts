import assert from "node:assert/strict";
import { AgentError } from "../../../supabase/functions/_shared/errors.ts";
import type { ModelMessage, ModelRequest } from "../../../supabase/functions/_shared/ports/model.ts";
import { delta, ending, sse } from "../../support/model_stream.ts";
import { Asked, FakeProvider, QUESTION } from "./fake_provider.ts";

const EXTRA = (name: string): string =>
  JSON.stringify({ error: { message: `property '${name}' is unsupported` } });
const MAX_TOKENS = JSON.stringify({
  error: {
    message:
      "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
    param: "max_tokens",
    code: "unsupported_parameter",
  },
});
const TOO_LONG = JSON.stringify({
  error: { message: "prompt is too long", code: "context_length_exceeded" },
});

const HISTORY: readonly ModelMessage[] = [
  { role: "system", content: "Be brief." },
  ...["1", "2", "3", "4"].flatMap((digit): ModelMessage[] => [
    { role: "user", content: digit.repeat(100) },
    { role: "assistant", content: digit.repeat(100) },
  ]),
  { role: "user", content: "And now?" },
];
const LONG: ModelRequest = { ...QUESTION, messages: HISTORY };

type Body = Record<string, unknown> & { messages: ModelMessage[] };

function bodies(provider: FakeProvider): Body[] {
  return provider.requests.map(({ body }) => body as Body);
}

/** The names of the last request's fields. */
function namesIn(provider: FakeProvider): string[] {
  return Object.keys(bodies(provider).at(-1) ?? {}).sort();
}

function events(provider: FakeProvider): (string | undefined)[] {
  return provider.log.map(({ event }) => event);
}

Deno.test("[MD10] a refused parameter is left out, once for a model, and named in the log", async () => {
  const provider = new FakeProvider();
  const model = provider.model();
  provider.respond(400, EXTRA("stream_options"));
  for (let answers = 0; answers < 3; answers++) provider.stream(delta("Hi"), ending());
  assert.equal((await new Asked(model).reply).finishReason, "stop");
  await new Asked(model).reply;
  assert.deepEqual(bodies(provider).map((body) => "stream_options" in body), [true, false, false]);
  const [line = assert.fail(), ...more] = provider.log;
  assert.deepEqual(more, []);
  const { detail, ...fields } = line;
  assert.deepEqual(fields, {
    level: "warn",
    event: "model_parameter_dropped",
    model: "test/model",
    field: "stream_options",
    how: "left_out",
    status: 400,
  });
  assert.match(String(detail), /property 'stream_options'/);
  await new Asked(model, { ...QUESTION, models: ["other/model"] }).reply;
  assert.ok("stream_options" in (bodies(provider).at(-1) ?? {}), "another model may take it");
});

Deno.test("[MD10] max_tokens gets its newer name", async () => {
  const provider = new FakeProvider();
  const model = provider.model();
  provider.respond(400, MAX_TOKENS);
  provider.stream(delta("Hi"), ending());
  provider.stream(delta("Hi"), ending());
  await new Asked(model).reply;
  await new Asked(model, { ...QUESTION, maxTokens: 7 }).reply;
  const sent = bodies(provider).map((body) => [body.max_tokens, body.max_completion_tokens]);
  assert.deepEqual(sent, [[100, undefined], [undefined, 100], [undefined, 7]]);
  assert.equal(provider.log[0]?.how, "renamed_to_max_completion_tokens");
});

Deno.test("[MD10] parameters that are refused one after the other are repaired one after the other", async () => {
  const provider = new FakeProvider();
  provider.respond(422, EXTRA("stream_options"));
  provider.respond(400, MAX_TOKENS);
  provider.respond(400, EXTRA("max_completion_tokens"));
  provider.respond(400, EXTRA("temperature"));
  provider.stream(delta("Hi"), ending());
  await new Asked(provider.model({ maxRetries: 0 })).reply;
  assert.deepEqual(namesIn(provider), ["messages", "model", "stream"]);
  assert.deepEqual(provider.log.map(({ field }) => field), [
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
  ]);
});

Deno.test("[MD10] a provider that refuses for ever is asked no more than once for each parameter", async () => {
  const provider = new FakeProvider();
  for (let times = 0; times < 3; times++) provider.respond(400, EXTRA("temperature"));
  await assert.rejects(new Asked(provider.model({ maxRetries: 5 })).reply, { code: "model_rejected" });
  assert.equal(provider.requests.length, 2);
  assert.deepEqual(events(provider), ["model_parameter_dropped", "model_attempt_failed"]);
  assert.deepEqual([provider.log[1]?.model, provider.log[1]?.status], ["test/model", 400]);
});

Deno.test("[MD10] a value that is refused is left out, another value is sent", async () => {
  const provider = new FakeProvider();
  const model = provider.model();
  const tooHot = JSON.stringify({
    detail: [{ loc: ["body", "temperature"], msg: "Input should be less than or equal to 1", input: 2 }],
  });
  provider.respond(422, tooHot);
  for (let answers = 0; answers < 3; answers++) provider.stream(delta("Hi"), ending());
  await new Asked(model, { ...QUESTION, temperature: 2 }).reply;
  await new Asked(model, { ...QUESTION, temperature: 2 }).reply;
  await new Asked(model, { ...QUESTION, temperature: 0.5 }).reply;
  assert.deepEqual(bodies(provider).map(({ temperature }) => temperature), [2, undefined, undefined, 0.5]);
});

Deno.test("[MD10] a request keeps its own repairs, whatever is learnt from others meanwhile", async () => {
  const provider = new FakeProvider();
  const model = provider.model();
  const refusal = JSON.stringify({ error: { message: "Invalid temperature", param: "temperature" } });
  provider.respond(400, refusal);
  const second = provider.openStream();
  const slow = new Asked(model, { ...QUESTION, temperature: 1.5 });
  while (provider.requests.length < 2) await Promise.resolve();
  provider.respond(400, refusal);
  provider.stream(delta("Hi"), ending());
  await new Asked(model, { ...QUESTION, temperature: 2 }).reply;
  provider.stream(delta("Hi"), ending());
  second.write(sse({ error: { code: 400, message: "Unknown parameter: 'stream_options'" } }));
  await slow.reply;
  assert.deepEqual(bodies(provider).map(({ temperature }) => temperature), [
    1.5,
    undefined,
    2,
    undefined,
    undefined,
  ]);
});

Deno.test("[MD10] a repair uses up no retry, and is kept by the retries", async () => {
  const provider = new FakeProvider();
  provider.respond(400, EXTRA("temperature"));
  provider.respond(503, "");
  provider.stream(delta("Hi"), ending());
  const asked = new Asked(provider.model({ maxRetries: 1 }));
  while (provider.log.length < 2) await Promise.resolve();
  provider.clock.advance(500);
  await asked.reply;
  assert.deepEqual(bodies(provider).map((body) => "temperature" in body), [true, false, false]);
});

Deno.test("[MD10] a refusal in the stream is one, but not after text", async () => {
  const refusal = sse({ error: { code: 400, message: "Unknown parameter: 'temperature'" } });
  const provider = new FakeProvider();
  provider.stream(refusal);
  provider.stream(delta("Hi"), ending());
  await new Asked(provider.model()).reply;
  assert.equal(provider.requests.length, 2);
  const late = new FakeProvider();
  late.stream(delta("So"), refusal);
  await assert.rejects(new Asked(late.model()).reply, { code: "model_rejected" });
  assert.equal(late.requests.length, 1);
});

Deno.test("[MD10] the provider's words in the log are masked", async () => {
  const provider = new FakeProvider();
  const apiKey = "sk-or-v1-0123456789abcdef";
  provider.respond(400, `property 'temperature' is unsupported (key ${apiKey})`);
  provider.stream(delta("Hi"), ending());
  await new Asked(provider.model({ apiKey })).reply;
  assert.ok(!JSON.stringify(provider.log).includes(apiKey));
});

Deno.test("[QU13] a prompt that is too long loses its oldest half, and the reply says how many messages", async () => {
  const provider = new FakeProvider();
  provider.respond(400, TOO_LONG);
  provider.stream(delta("Hi"), ending());
  const reply = await new Asked(provider.model(), LONG).reply;
  assert.equal(reply.trimmed, 4);
  const [first, second] = bodies(provider).map(({ messages }) => messages);
  assert.deepEqual(first, HISTORY);
  assert.deepEqual(second, [HISTORY[0], ...HISTORY.slice(5)]);
  const [{ event, model, messages, status } = assert.fail()] = provider.log;
  assert.deepEqual([event, model, messages, status], ["model_prompt_trimmed", "test/model", 4, 400]);
});

Deno.test("[QU13] the numbers of the refusal say how much is left out at once", async () => {
  const provider = new FakeProvider();
  provider.respond(
    400,
    JSON.stringify({ error: { message: "prompt is too long: 900 tokens > 300 maximum" } }),
  );
  provider.stream(delta("Hi"), ending());
  assert.equal((await new Asked(provider.model(), LONG).reply).trimmed, 6);
});

Deno.test("[QU13] if half is still too long, the question is asked alone; if it is too long too, the answer says so", async () => {
  const provider = new FakeProvider();
  for (let times = 0; times < 3; times++) provider.respond(413, "Request Entity Too Large");
  const thrown = await new Asked(provider.model({ maxRetries: 3 }), LONG).reply.catch((error) => error);
  assert.ok(thrown instanceof AgentError);
  assert.deepEqual([thrown.code, thrown.retryable], ["prompt_too_long", false]);
  assert.equal(thrown.message, "the question is too long for the model");
  assert.deepEqual(bodies(provider).map(({ messages }) => messages.length), [10, 6, 2]);
  assert.deepEqual(events(provider), [
    "model_prompt_trimmed",
    "model_prompt_trimmed",
    "model_attempt_failed",
  ]);
});

Deno.test("[QU13] a question without history that is too long is asked once", async () => {
  const provider = new FakeProvider();
  provider.respond(400, TOO_LONG);
  await assert.rejects(new Asked(provider.model()).reply, { code: "prompt_too_long", retryable: false });
  assert.equal(provider.requests.length, 1);
});

Deno.test("[QU13] the beginning of an answer is never cut", async () => {
  const provider = new FakeProvider();
  for (let times = 0; times < 2; times++) provider.respond(400, TOO_LONG);
  provider.stream(delta(" of roses."), ending());
  const partial = "Once upon a time there was a queen who had a garden full";
  await new Asked(provider.model({ prefillModels: ["*"] }), { ...LONG, partial }).reply;
  for (const { messages } of bodies(provider)) {
    assert.deepEqual(messages.at(-1), { role: "assistant", content: partial });
    assert.equal(messages.at(-2)?.content, "And now?");
  }
});

Deno.test("[QU13] a bound of the answer that does not fit beside the prompt is left out for this request", async () => {
  const provider = new FakeProvider();
  const model = provider.model();
  const words =
    "'max_tokens' is too large: 100. This model's maximum context length is 2048 tokens and your request has " +
    "1000 input tokens (1500 > 2048 - 1000).";
  provider.respond(400, JSON.stringify({ error: { message: words } }));
  provider.stream(delta("Hi"), ending());
  provider.stream(delta("Hi"), ending());
  const reply = await new Asked(model, LONG).reply;
  await new Asked(model).reply;
  assert.equal(reply.trimmed, undefined);
  assert.deepEqual(bodies(provider).map(({ max_tokens }) => max_tokens), [100, undefined, 100]);
});

Deno.test("[QU13] MAX_PROMPT_TOKENS bounds the prompt before it is sent, corrected by the usage that comes back", async () => {
  const provider = new FakeProvider();
  const model = provider.model({ maxPromptTokens: 205 });
  const answer = (prompt_tokens: number): void =>
    provider.stream(
      delta("Hi"),
      sse({ choices: [{ delta: {}, finish_reason: "stop" }] }),
      sse({ choices: [], usage: { prompt_tokens, completion_tokens: 1 } }),
      sse("[DONE]"),
    );
  answer(2000);
  answer(500);
  assert.equal((await new Asked(model, LONG).reply).trimmed, undefined);
  assert.equal((await new Asked(model, LONG).reply).trimmed, 8);
});

Deno.test("[QU13] a prompt that fits says nothing of messages left out", async () => {
  const provider = new FakeProvider();
  provider.stream(delta("Hi"), ending());
  assert.ok(!("trimmed" in await new Asked(provider.model({ maxPromptTokens: 1000 }), LONG).reply));
});

Deno.test("[QU10] a request that is aborted while it is repaired is not sent again", async () => {
  const provider = new FakeProvider();
  provider.respond(400, EXTRA("temperature"));
  const asked = new Asked(provider.model());
  while (provider.requests.length === 0) await Promise.resolve();
  asked.abort.abort(new Error("enough"));
  await assert.rejects(asked.reply, /enough/);
  assert.equal(provider.requests.length, 1);
});
