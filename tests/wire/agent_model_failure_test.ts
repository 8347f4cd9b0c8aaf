/** A failing provider, over real connections: the error that the client gets, and how often the provider is called. */

import assert from "node:assert/strict";
import { type AgentProcess, withAgent } from "../support/agent_process.ts";
import { MODEL_FAILURES, PROVIDERS_WORDS } from "../support/model_failures.ts";
import { delta, ending, sse } from "../support/model_stream.ts";
import { type RawAnswer, RawModelServer, RESET } from "../support/raw_model_server.ts";
import { type AgentClient, connect, of, type SeenFrame, terminal } from "../support/agent_client.ts";

const API_KEY = "sk-or-v1-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const GOOD: RawAnswer = { steps: [delta("A good "), delta("answer"), ending()] };

/** Runs `body` with an agent whose provider gives these answers, one per request. */
async function withModel(
  answers: readonly RawAnswer[],
  env: Readonly<Record<string, string>>,
  body: (client: AgentClient, model: RawModelServer, agent: AgentProcess) => Promise<void>,
): Promise<void> {
  await using model = await RawModelServer.start();
  answers.forEach((answer) => model.answer(answer));
  await withAgent({ env: { OPENROUTER_BASE_URL: model.baseUrl, ...env } }, async (agent) => {
    await using client = await connect(`${agent.wsUrl}?stream=true`);
    await body(client, model, agent);
  });
}

function framesOf(client: AgentClient, id: string): SeenFrame[] {
  return client.frames.filter((frame) => frame.in_reply_to === id);
}

Deno.test("[MD1] [MD3] [QU2] [QU11] each failure ends its turn with one error in our own words, and harms nothing else", async () => {
  const answers = [...MODEL_FAILURES.map(({ answer }) => answer), GOOD];
  const env = {
    MAX_RETRIES: "0",
    STALL_TIMEOUT_MS: "600",
    FIRST_TOKEN_TIMEOUT_MS: "2000",
    OPENROUTER_API_KEY: API_KEY,
  };
  await withModel(answers, env, async (client, model, agent) => {
    for (const { name, code, retryable, retryAfterMs, partial } of MODEL_FAILURES) {
      const failed = await client.answer(`Fail by ${name}`);
      assert.equal(failed.type, "error", name);
      assert.equal(failed.code, code, name);
      assert.equal(failed.retryable, retryable, name);
      assert.equal(failed.retry_after_ms, retryAfterMs, name);
      assert.equal(failed.partial || undefined, partial, name);
      assert.match(failed.content, /^Failed to generate response: [a-z][a-z ]+/, name);
    }
    const good = await client.answer("And now?");
    assert.equal(good.content, "A good answer");
    assert.equal(model.requests.length, answers.length);
    assert.deepEqual(model.requests.at(-1)?.body, {
      ...(model.requests[0]?.body as Record<string, unknown>),
      messages: [{ role: "system", content: messagesOf(model, 0)[0]?.content }, {
        role: "user",
        content: "And now?",
      }],
    }, "failed turns left a trace in what the model sees");

    for (const frame of client.frames.filter(of("error"))) {
      const mine = framesOf(client, String(frame.in_reply_to));
      const types = mine.map(({ type }) => type).filter((type) => type !== "delta");
      assert.deepEqual(types, ["status", "error"], "one status and one end");
      assert.equal(mine.at(-1), frame, "nothing after the end");
    }
    assert.deepEqual(client.seqs.filter((seq, at) => seq !== client.seqs[at - 1]).length, 2 * answers.length);
    assert.doesNotMatch(
      JSON.stringify(client.frames),
      new RegExp(`${PROVIDERS_WORDS}|Bad Gateway|${API_KEY}`),
    );
    const lines = agent.log.filter(({ event }) => event === "model_attempt_failed");
    assert.equal(lines.length, MODEL_FAILURES.length);
    assert.ok(!agent.output.some((line) => line.includes(API_KEY) || line.includes("Fail by")));
  });
});

function messagesOf(model: RawModelServer, index: number): { role: string; content: string }[] {
  const { messages } = model.requests[index]?.body as { messages: { role: string; content: string }[] };
  return messages;
}

const limitedFor = (retryAfter: string): RawAnswer => ({
  status: 429,
  headers: { "retry-after": retryAfter },
  steps: [PROVIDERS_WORDS],
});

Deno.test("[MD2] a short Retry-After is waited for, as seconds and as a date; then the answer comes", async () => {
  const inTwoSeconds = new Date(Date.now() + 2000).toUTCString();
  await withModel([limitedFor("1"), GOOD, limitedFor(inTwoSeconds), GOOD], {}, async (client, model) => {
    const before = performance.now();
    assert.equal((await client.answer("In a second")).content, "A good answer");
    const tookMs = performance.now() - before;
    assert.ok(tookMs >= 1000 && tookMs < 20_000, `${tookMs} ms`);
    assert.equal(model.requests.length, 2);
    assert.equal((await client.answer("At a time")).content, "A good answer");
    assert.ok(Date.now() >= Date.parse(inTwoSeconds));
    assert.equal(model.requests.length, 4);
    assert.ok(!client.frames.some(of("error")));
  });
});

Deno.test("[MD2] a long Retry-After fails at once, and says when to come back", async () => {
  await withModel([limitedFor("21"), GOOD], { MAX_RETRIES: "2" }, async (client, model) => {
    const before = performance.now();
    const failed = await client.answer("Now");
    assert.equal(failed.code, "model_rate_limited");
    assert.equal(failed.retry_after_ms, 21_000);
    assert.ok(performance.now() - before < 15_000);
    assert.equal(model.requests.length, 1);
  });
});

Deno.test("[MD2] [MD1] what may pass is tried again before the first token, and never after it", async () => {
  const rounds: readonly [name: string, failure: RawAnswer][] = [
    ["500", { status: 500 }],
    ["a reset before the first token", { steps: [": OPENROUTER PROCESSING\n\n", RESET] }],
    ["an error in the stream", { steps: [sse({ error: { code: 502, message: PROVIDERS_WORDS } })] }],
  ];
  const last: RawAnswer[] = [{ status: 400 }, { steps: [delta("A word"), RESET] }, { status: 500 }, {
    status: 500,
  }];
  const answers = [...rounds.flatMap(([, failure]) => [failure, GOOD]), ...last];
  await withModel(answers, { MAX_RETRIES: "1" }, async (client, model) => {
    let requests = 0;
    for (const [name] of rounds) {
      assert.equal((await client.answer(name)).content, "A good answer", name);
      assert.equal(model.requests.length, requests += 2, name);
    }
    assert.equal((await client.answer("a refusal")).code, "model_rejected");
    assert.equal(model.requests.length, requests += 1, "a refusal is not retried");
    const broken = await client.answer("a reset after the first token");
    assert.equal(broken.code, "model_stream_broken");
    assert.equal(broken.partial, "A word");
    assert.equal(model.requests.length, requests += 1, "no retry after text was sent");
    assert.equal((await client.answer("twice 500")).code, "model_unavailable");
    assert.equal(model.requests.length, requests += 2, "at most MAX_RETRIES retries");
  });
});

Deno.test("[MD1] a provider that cannot be reached is model_unavailable", async () => {
  await withAgent({ env: { MAX_RETRIES: "0" } }, async ({ wsUrl }) => {
    await using client = await connect(wsUrl);
    const failed = await client.answer("Anybody?");
    assert.equal(failed.code, "model_unavailable");
    assert.equal(failed.retryable, true);
    assert.doesNotMatch(failed.content, /127\.0\.0\.1|ECONN|os error/);
  });
});

Deno.test("[MD3] [MD4] [MD5] a finish reason without [DONE] is a whole answer; fallbacks are named; usage is told", async () => {
  const reasons = ["stop", "length", "content_filter"];
  const answers = reasons.map((finish_reason): RawAnswer => ({
    steps: [
      delta("Whole"),
      sse({ model: "test/second", choices: [{ delta: {}, finish_reason }] }),
      sse({ choices: [], usage: { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3, cost: 0.5 } }),
    ],
  }));
  const env = {
    MODEL: "test/first",
    MODEL_FALLBACKS: "test/second,test/third",
    MODEL_DIALECT: "openrouter",
  };
  await withModel(answers, env, async (client, model) => {
    for (const [index, reason] of reasons.entries()) {
      const response = await client.waitFor(terminal(client.ask(reason)));
      assert.equal(response.type, "response", reason);
      assert.equal(response.finish_reason, reason);
      assert.equal(response.model, "test/second");
      assert.deepEqual(response.usage, {
        prompt_tokens: 1,
        completion_tokens: 2,
        total_tokens: 3,
        cost: 0.5,
      });
      const { model: first, models } = model.requests[index]?.body as { model: string; models: string[] };
      assert.deepEqual([first, models], ["test/first", ["test/first", "test/second", "test/third"]]);
    }
  });
});
