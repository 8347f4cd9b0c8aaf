/** Which requests are accounted for, and with what. */

import assert from "node:assert/strict";
import { AgentError } from "../../../supabase/functions/_shared/errors.ts";
import { createGenerationReader } from "../../../supabase/functions/_shared/openrouter/generation_reader.ts";
import type {
  Attempt,
  AttemptEnd,
  AttemptMeter,
  AttemptRequest,
} from "../../../supabase/functions/_shared/ports/attempt.ts";
import type { LanguageModel, ModelMessage } from "../../../supabase/functions/_shared/ports/model.ts";
import { promptTokens } from "../../../supabase/functions/_shared/usage/token_estimate.ts";
import { ManualClock, settle } from "../../support/manual_clock.ts";
import { delta, ending, finish, sse } from "../../support/model_stream.ts";
import { callStream } from "../../support/tool_call_streams.ts";
import { FakeProvider, QUESTION } from "./fake_provider.ts";

/** Writes down what becomes of each request. */
class Meter implements AttemptMeter {
  /** Set if there is a budget. */
  unboundTokens: number | undefined;
  readonly begun: AttemptRequest[] = [];
  readonly ends: AttemptEnd[] = [];
  readonly reached: (string | undefined)[] = [];
  text = "";
  thoughts = "";
  /** What is granted. */
  maxTokens = 100;
  gate: Promise<void> | undefined;

  begin(request: AttemptRequest): Attempt | Promise<Attempt> {
    this.begun.push(request);
    const attempt: Attempt = {
      maxTokens: this.maxTokens,
      reached: (generationId) => void this.reached.push(generationId),
      said: (text) => void (this.text += text),
      thought: (text) => void (this.thoughts += text),
      end: (end) => void this.ends.push(end),
    };
    return this.gate === undefined ? attempt : this.gate.then(() => attempt);
  }
}

function ask(
  model: LanguageModel,
  meter: Meter,
  signal = new AbortController().signal,
  request = QUESTION,
): Promise<unknown> {
  const reply = model.reply(request, { onText: () => {}, signal, meter });
  reply.catch(() => {});
  return reply;
}

const SSE = { "content-type": "text/event-stream" };
const USAGE = { prompt_tokens: 3, completion_tokens: 5, total_tokens: 8, cost: 0.0001 };

Deno.test("[US1] a whole answer: who gave it, its id, and what the provider says it has used", async () => {
  const provider = new FakeProvider();
  const meter = new Meter();
  provider.stream(sse({ id: "gen-1", model: "real/model", choices: [] }), delta("Hi"), ending());
  await ask(provider.model(), meter);
  assert.deepEqual(meter.ends, [{
    how: "completed",
    generationId: "gen-1",
    model: "test/model",
    usage: USAGE,
  }]);
  assert.equal(meter.text, "Hi");
});

Deno.test("[US1] tools, calls and results are part of what is asked, and calls of what the model says", async () => {
  const provider = new FakeProvider();
  const meter = new Meter();
  const calls = [{ id: "call_1", name: "find", arguments: '{"a":1}' }];
  const tools = [{ name: "find", description: "Finds.", parameters: { type: "object" } }];
  const messages: readonly ModelMessage[] = [
    ...QUESTION.messages,
    { role: "assistant", content: "", calls },
    { role: "tool", content: "12345678", callId: "call_1" },
  ];
  provider.stream(callStream("OpenAI", [{ id: "call_2", name: "find", arguments: '{"b":2}' }]));
  await ask(provider.model(), meter, undefined, { ...QUESTION, messages, tools });
  const [asked = assert.fail()] = meter.begun;
  // "Hello?", `find` and its arguments, the result; then the tools as JSON.
  assert.equal(promptTokens({ messages: asked.messages }), Math.ceil((6 + 4 + 7 + 8) / 4));
  assert.equal(promptTokens(asked), Math.ceil((6 + 4 + 7 + 8 + JSON.stringify(tools).length) / 4));
  assert.equal(meter.text, 'find{"b":2}');
});

Deno.test("[US1] each retry is a request of its own; one that never reached the provider is none", async () => {
  const provider = new FakeProvider();
  const meter = new Meter();
  provider.refuse(new TypeError("error sending request: client error (Connect): dns error"));
  provider.refuse(new TypeError("client error (SendRequest): connection closed before message completed"));
  provider.respond(500, "oh");
  provider.respond(429, "slow down");
  provider.stream(delta("Hi"), finish());
  const reply = ask(provider.model({ maxRetries: 4 }), meter);
  for (let n = 0; n < 4; n++) {
    await settle();
    provider.clock.advance(20_000);
  }
  await reply;
  assert.deepEqual(meter.ends.map(({ how }) => how), ["unsent", "failed", "failed", "refused", "completed"]);
  assert.equal(meter.begun.length, 5);
});

Deno.test("[US1] what a provider says in an error is no sign that it was not reached", async () => {
  const provider = new FakeProvider();
  const meter = new Meter();
  provider.stream(sse({ error: { code: "up", message: "client error (Connect)" } }));
  await assert.rejects(ask(provider.model(), meter));
  assert.deepEqual(meter.ends.map(({ how }) => how), ["failed"]);
});

Deno.test("[US1] an abort before the first token, and one in the answer, are accounted for with the id that is known", async () => {
  for (const headers of [{}, { "X-Generation-Id": "gen-h" }] as Record<string, string>[]) {
    const provider = new FakeProvider();
    const meter = new Meter();
    const stream = provider.openStream({ headers: { ...SSE, ...headers } });
    const abort = new AbortController();
    const reply = ask(provider.model(), meter, abort.signal);
    await settle();
    const known = headers["X-Generation-Id"];
    assert.deepEqual(meter.reached, [known]);
    stream.write(sse({ id: "gen-c", choices: [{ index: 0, delta: { content: "Half" } }] }));
    await settle();
    abort.abort(new Error("stop"));
    await assert.rejects(reply, { message: "stop" });
    assert.deepEqual(meter.ends, [{ how: "aborted", generationId: known ?? "gen-c" }]);
    assert.equal(meter.text, "Half");
  }
  const silent = new FakeProvider();
  const meter = new Meter();
  silent.keepWaiting();
  const abort = new AbortController();
  const reply = ask(silent.model(), meter, abort.signal);
  await settle();
  abort.abort(new Error("stop"));
  await assert.rejects(reply);
  assert.deepEqual(meter.ends, [{ how: "aborted" }], "it may have arrived");
});

Deno.test("[US1] what a model thinks before it answers is told as well", async () => {
  const provider = new FakeProvider();
  const meter = new Meter();
  const think = (delta: object): string => sse({ choices: [{ index: 0, delta }] });
  provider.stream(
    think({ reasoning: "Let me " }),
    think({ reasoning_content: "see." }),
    delta("Hi"),
    finish(),
  );
  await ask(provider.model(), meter);
  assert.deepEqual([meter.thoughts, meter.text], ["Let me see.", "Hi"]);
});

Deno.test("[US3] nothing is sent before the budget allows it, nor more asked for than it allows", async () => {
  const provider = new FakeProvider();
  const meter = new Meter();
  const gate = Promise.withResolvers<void>();
  meter.gate = gate.promise;
  meter.maxTokens = 42;
  provider.stream(delta("Hi"), ending());
  const reply = ask(provider.model(), meter);
  await settle();
  assert.equal(provider.requests.length, 0);
  gate.resolve();
  await reply;
  assert.equal((provider.requests[0]?.body as { max_tokens: number }).max_tokens, 42);

  const refused = new Meter();
  refused.gate = Promise.reject(new AgentError("budget_exceeded", "used up", { retryAfterMs: 5 }));
  await assert.rejects(ask(provider.model({ maxRetries: 3 }), refused), {
    code: "budget_exceeded",
    retryAfterMs: 5,
  });
  const late = new Meter();
  const lateGate = Promise.withResolvers<void>();
  late.gate = lateGate.promise;
  const abort = new AbortController();
  const aborted = ask(provider.model(), late, abort.signal);
  abort.abort(new Error("stop"));
  lateGate.resolve();
  await assert.rejects(aborted, { message: "stop" });
  assert.deepEqual(late.ends, [{ how: "unsent" }]);
  assert.equal(provider.requests.length, 1);
});

/** OpenRouter's documented answer. */
const GENERATION = {
  data: {
    id: "gen-1",
    upstream_id: "chatcmpl-1",
    total_cost: 0.0015,
    created_at: "2024-07-15T23:33:19.433273+00:00",
    model: "test/model",
    streamed: true,
    cancelled: true,
    finish_reason: null,
    tokens_prompt: 10,
    tokens_completion: 25,
    native_tokens_prompt: 11,
    native_tokens_completion: 27,
    native_tokens_reasoning: 5,
    usage: 0.0015,
    is_byok: false,
  },
};

Deno.test("[US2] OpenRouter is asked what a request has used: the tokens that are paid for, and the cost", async () => {
  const clock = new ManualClock();
  const asked: [string, string | null][] = [];
  let respond = (): Response => Response.json(GENERATION);
  const reader = createGenerationReader({
    baseUrl: "https://openrouter.ai/api/v1/",
    apiKey: "key",
    clock,
    fetch: (url, init) => {
      asked.push([String(url), new Headers(init?.headers).get("authorization")]);
      try {
        return Promise.resolve(respond());
      } catch (error) {
        return Promise.reject(error);
      }
    },
  });
  assert.deepEqual(await reader.usageOf("gen-1"), {
    prompt_tokens: 11,
    completion_tokens: 27,
    total_tokens: 38,
    reasoning_tokens: 5,
    cost: 0.0015,
  });
  assert.deepEqual(asked, [["https://openrouter.ai/api/v1/generation?id=gen-1", "Bearer key"]]);
  const unknown: (() => Response)[] = [
    () => Response.json({ error: { code: 404, message: "Generation not found" } }, { status: 404 }),
    () => Response.json({ data: { ...GENERATION.data, native_tokens_prompt: null, tokens_prompt: null } }),
    () => Response.json({ data: null }),
    () => Response.json({ data: { tokens_prompt: -1, tokens_completion: "many" } }),
    () => new Response("<html>"),
    () => {
      throw new TypeError("connection refused");
    },
  ];
  for (respond of unknown) assert.equal(await reader.usageOf("gen-1"), undefined);
  respond = () =>
    Response.json({
      data: { ...GENERATION.data, native_tokens_prompt: null, native_tokens_completion: null },
    });
  assert.equal(
    (await reader.usageOf("gen-1"))?.total_tokens,
    35,
    "the normalised counts, where there are no others",
  );
  assert.equal(clock.pending, 0);
});

Deno.test("[US3] [MD10] what a budget has granted is the bound of every request: it may be renamed, and is never left out", async () => {
  const refusals = [
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
    "max_tokens is too large: 100. This model supports at most 50 completion tokens.",
    "`max_tokens` must be greater than `thinking.budget_tokens`.",
    "Unrecognized request argument supplied: max_tokens",
  ];
  for (const message of refusals) {
    const provider = new FakeProvider();
    const meter = new Meter();
    meter.unboundTokens = 4096;
    meter.maxTokens = 37;
    for (let attempt = 0; attempt < 3; attempt++) {
      provider.respond(400, JSON.stringify({ error: { message, param: "max_tokens" } }));
    }
    const model = provider.model();
    await assert.rejects(ask(model, meter), { code: /model_rejected|prompt_too_long/ });
    await assert.rejects(ask(model, meter));
    for (const { body } of provider.requests) {
      const { max_tokens: bound, max_completion_tokens: renamed } = body as Record<string, unknown>;
      assert.equal(bound ?? renamed, 37, message);
    }
  }
});

Deno.test("[US3] an answer without a limit of its own has that of the budget", async () => {
  const provider = new FakeProvider();
  const meter = new Meter();
  meter.unboundTokens = 4096;
  meter.maxTokens = 4096;
  provider.stream(delta("Hi"), ending());
  const { maxTokens: _, ...unbound } = QUESTION;
  await provider.model().reply(unbound, { onText: () => {}, signal: new AbortController().signal, meter });
  assert.equal((provider.requests[0]?.body as Record<string, unknown>).max_tokens, 4096);
});
