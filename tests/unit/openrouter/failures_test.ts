import assert from "node:assert/strict";
import { AgentError } from "../../../supabase/functions/_shared/errors.ts";
import { MAX_DETAIL_CHARS } from "../../../supabase/functions/_shared/openrouter/mask.ts";
import { settle } from "../../support/manual_clock.ts";
import { delta, ending, sse } from "../../support/model_stream.ts";
import { Asked, FakeProvider } from "./fake_provider.ts";

const STATUSES = [
  [400, "model_rejected", false],
  [401, "model_unauthorized", false],
  [402, "model_unauthorized", false],
  [403, "model_unauthorized", false],
  [404, "model_rejected", false],
  [408, "model_timeout", true],
  [413, "prompt_too_long", false],
  [418, "model_rejected", false],
  [422, "model_rejected", false],
  [429, "model_rate_limited", true],
  [500, "model_unavailable", true],
  [502, "model_unavailable", true],
  [503, "model_unavailable", true],
  [529, "model_unavailable", true],
] as const;

async function failure(asked: Asked): Promise<AgentError> {
  const thrown = await asked.reply.then(() => undefined, (reason: unknown) => reason);
  assert.ok(thrown instanceof AgentError, String(thrown));
  return thrown;
}

Deno.test("createOpenRouter: a status is a code, and whether to try again", async () => {
  for (const [status, code, retryable] of STATUSES) {
    const provider = new FakeProvider();
    provider.respond(status, JSON.stringify({ error: { code: status, message: "SECRET WORDS" } }));
    const error = await failure(new Asked(provider.model()));
    // Nothing of the request could be left out: it has no history.
    assert.deepEqual([error.code, error.retryable], [code, retryable], String(status));
    assert.ok(!error.message.includes("SECRET WORDS"), error.message);
  }
});

Deno.test("createOpenRouter: an error in the stream with a status for a code is that status", async () => {
  for (const [status, code, retryable] of STATUSES) {
    for (const numberOrText of [status, String(status)]) {
      const provider = new FakeProvider();
      provider.stream(delta("So"), sse({ error: { code: numberOrText, message: "SECRET WORDS" } }), ending());
      const asked = new Asked(provider.model());
      const error = await failure(asked);
      assert.deepEqual([error.code, error.retryable], [code, retryable], String(status));
      assert.equal(asked.text, "So");
    }
  }
});

Deno.test("createOpenRouter: an error in the stream of any other kind is the provider's failure", async () => {
  const errors: unknown[] = [{ code: "server_error", message: "x" }, { message: "x" }, {
    code: 1,
    message: "x",
  }, "x"];
  for (const error of errors) {
    const provider = new FakeProvider();
    provider.stream(sse({ error }), ending());
    const { code, retryable } = await failure(new Asked(provider.model()));
    assert.deepEqual([code, retryable], ["model_unavailable", true]);
  }
  const provider = new FakeProvider();
  provider.stream(sse({ error: null, choices: [{ delta: { content: "No error" } }] }), ending());
  assert.equal((await new Asked(provider.model()).reply).finishReason, "stop");
});

Deno.test("createOpenRouter: 402 says that the account is out of credit", async () => {
  const provider = new FakeProvider();
  provider.respond(402, "{}");
  assert.match((await failure(new Asked(provider.model()))).message, /out of credit/);
});

Deno.test("createOpenRouter: no connection means that the provider is unavailable", async () => {
  const provider = new FakeProvider();
  provider.refuse(new TypeError("error sending request", { cause: new Error("connection refused") }));
  const error = await failure(new Asked(provider.model()));
  assert.deepEqual([error.code, error.retryable], ["model_unavailable", true]);
  assert.equal(provider.log[0]?.detail, "error sending request: connection refused");
});

Deno.test("createOpenRouter: a connection that breaks in the middle is a broken stream, its text stays", async () => {
  const provider = new FakeProvider();
  const stream = provider.openStream();
  const asked = new Asked(provider.model());
  stream.write(delta("Half"));
  await settle();
  stream.fail(new TypeError("error reading a body from connection"));
  const error = await failure(asked);
  assert.deepEqual([error.code, error.retryable], ["model_stream_broken", true]);
  assert.equal(asked.text, "Half");
});

Deno.test("createOpenRouter: 200 with something that is no event stream is a failure", async () => {
  const answers = [["<html>Welcome to our network</html>", "text/html"], [
    '{"id":"x"}',
    "application/json",
  ]] as const;
  for (const [body, type] of answers) {
    const provider = new FakeProvider();
    provider.respond(200, body, { "content-type": type });
    const error = await failure(new Asked(provider.model({ maxRetries: 2 })));
    assert.deepEqual([error.code, error.retryable], ["model_stream_broken", true]);
    assert.equal(provider.log[0]?.detail, body);
    assert.equal(provider.requests.length, 1);
  }
  const provider = new FakeProvider();
  provider.respond(200, null, { "content-type": "text/event-stream" });
  assert.equal((await failure(new Asked(provider.model({ maxRetries: 2 })))).code, "model_stream_broken");
});

Deno.test("createOpenRouter: what the provider said is in the log and the cause, cut short and without keys", async () => {
  const provider = new FakeProvider();
  const body = `Bad key sk-or-v1-0123456789abcdef, not sk-proj-abc_DEF-1 nor sb_secret_xyz123, ` +
    `Authorization: Bearer abc.def ${"x".repeat(5000)} sk-or-v1-0123456789abcdef`;
  provider.respond(401, body);
  const { cause } = await failure(new Asked(provider.model()));
  const [entry] = provider.log;
  assert.equal(entry?.event, "model_attempt_failed");
  assert.equal(entry.level, "warn");
  assert.equal(entry.status, 401);
  assert.equal(entry.attempt, 1);
  assert.equal(entry.model, "test/model");
  const detail = String(entry.detail);
  assert.ok(
    detail.startsWith("Bad key [masked], not [masked] nor [masked], Authorization: Bearer [masked] xxx"),
    detail,
  );
  assert.equal(detail.length, MAX_DETAIL_CHARS + 1);
  assert.ok(cause instanceof Error);
  assert.equal(cause.message, `HTTP 401: ${detail}`);
});

Deno.test("[MD1] createOpenRouter: an error in the stream is in the log too, with its status and without keys", async () => {
  const provider = new FakeProvider();
  provider.stream(
    "event: error\n" + sse({ error: { code: 401, message: "Bad key sk-or-v1-0123456789abcdef" } }),
  );
  const error = await failure(new Asked(provider.model()));
  assert.equal(error.message, "the model provider does not accept our key");
  const { code, status, model, detail }: Record<string, unknown> = provider.log[0] ?? {};
  assert.deepEqual([code, status, model], ["model_unauthorized", 401, "test/model"]);
  assert.equal(detail, '{"error":{"code":401,"message":"Bad key [masked]"}}');
});

Deno.test("[MD6] createOpenRouter: an empty answer is in the log with the tokens that it has cost", async () => {
  const provider = new FakeProvider();
  provider.stream(ending("length"));
  assert.equal((await failure(new Asked(provider.model()))).code, "empty_answer");
  const { code, completion_tokens, detail }: Record<string, unknown> = provider.log[0] ?? {};
  assert.deepEqual([code, completion_tokens], ["empty_answer", 5]);
  assert.equal(detail, 'no text, finish reason "length"');
});

Deno.test("createOpenRouter: of an error's body no more is read than is needed, nor waited for", async () => {
  const provider = new FakeProvider();
  let pulls = 0;
  let cancelled = false;
  const endless = new ReadableStream<Uint8Array<ArrayBuffer>>({
    pull: (controller) => {
      pulls++;
      controller.enqueue(new Uint8Array(1024).fill(0x61));
    },
    cancel: () => void (cancelled = true),
  });
  const answers = [
    new Response(endless, { status: 400 }),
    new Response(new ReadableStream({ type: "bytes" }), { status: 400 }),
  ];
  const model = provider.model({ fetch: () => Promise.resolve(answers.shift() ?? Response.error()) });
  await failure(new Asked(model));
  assert.ok(cancelled);
  assert.ok(pulls <= 10, String(pulls));

  const asked = new Asked(model);
  await settle();
  provider.clock.advance(1000);
  assert.equal((await failure(asked)).code, "model_rejected");
  assert.equal(provider.clock.pending, 0);
});
