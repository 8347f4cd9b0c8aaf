/** Continued answers over the client's requests: what is sent, in which order, and when it is given up. */

import assert from "node:assert/strict";
import { environment } from "../../../../supabase/functions/_shared/config.ts";
import {
  ANCHOR_REQUEST,
  PrefillModels,
  wantsPrefix,
} from "../../../../supabase/functions/_shared/openrouter/continuation/ways.ts";
import { readBegun } from "../../../../supabase/functions/_shared/openrouter/continuation/begun_answer.ts";
import { settle } from "../../../support/manual_clock.ts";
import { delta, ending, sse } from "../../../support/model_stream.ts";
import { Asked, FakeProvider, QUESTION } from "../fake_provider.ts";

const BEGUN = `${Array.from({ length: 10 }, (_, n) => `This is sentence ${n} of the answer.`).join(" ")} `;
const CONTINUED = { ...QUESTION, partial: BEGUN };
const ANCHOR = readBegun(BEGUN).anchor ?? "";
const REFUSAL = JSON.stringify({ error: { message: "no prefill, sk-or-v1-0123456789abcdef" } });

const messagesOf = (provider: FakeProvider, index: number): unknown =>
  (provider.requests[index]?.body as { messages: unknown }).messages;
const question = { role: "user", content: "Hello?" };
const begun = { role: "assistant", content: BEGUN.trimEnd() };

Deno.test("[TO7] a model that takes a prefill gets the answer so far as the last message, without white space at its end", async () => {
  const provider = new FakeProvider();
  provider.stream(delta(" Sentence"), delta(" ten."), ending());
  const asked = new Asked(provider.model({ prefillModels: ["test/*"] }), CONTINUED);
  const { continued, usage } = await asked.reply;
  assert.deepEqual(messagesOf(provider, 0), [question, begun]);
  assert.equal(asked.text, "Sentence ten.", "the space was there");
  assert.deepEqual(continued, { ways: ["prefill"] });
  assert.equal(usage?.total_tokens, 8);
});

Deno.test("[TO7] where the endpoint wants it, the prefill is marked", async () => {
  for (const baseUrl of ["https://api.mistral.ai/v1", "https://api.deepseek.com/beta"]) {
    const provider = new FakeProvider();
    provider.stream(delta(" more"), ending());
    await new Asked(provider.model({ baseUrl, prefillModels: ["*"] }), CONTINUED).reply;
    assert.deepEqual(messagesOf(provider, 0), [question, { ...begun, prefix: true }]);
  }
  assert.equal(wantsPrefix("https://openrouter.ai/api/v1"), false);
});

Deno.test("[TO7] any other model is asked to repeat the last words, which are not shown again", async () => {
  const provider = new FakeProvider();
  provider.stream(
    delta("Sure! Here is the rest:\n\n"),
    delta(ANCHOR),
    delta(" Now"),
    delta(" ten."),
    ending(),
  );
  const asked = new Asked(provider.model(), CONTINUED);
  const { continued } = await asked.reply;
  assert.deepEqual(messagesOf(provider, 0), [
    question,
    begun,
    { role: "user", content: `${ANCHOR_REQUEST}\n\n${ANCHOR}` },
  ]);
  assert.equal(asked.text, "Now ten.");
  assert.deepEqual(continued, { ways: ["anchored"] });
});

Deno.test("[TO7] a refused prefill moves on at once, is logged without our key, and is remembered", async () => {
  for (const status of [400, 422]) {
    const provider = new FakeProvider();
    const model = provider.model({ prefillModels: ["*"], maxRetries: 2 });
    provider.respond(status, REFUSAL);
    provider.stream(delta(`${ANCHOR} Ten.`), ending());
    const asked = new Asked(model, CONTINUED);
    assert.deepEqual((await asked.reply).continued, { ways: ["prefill", "anchored"] });
    assert.equal(asked.text, "Ten.");
    assert.equal(provider.clock.pending, 0);
    const { detail, ...entry } = provider.log[0] ?? assert.fail("nothing is logged");
    assert.deepEqual(entry, {
      level: "info",
      event: "model_continuation_failed",
      way: "prefill",
      why: "refused",
      model: "test/model",
      status,
    });
    assert.match(String(detail), /no prefill/);
    assert.doesNotMatch(String(detail), /0123456789abcdef/);
    provider.stream(delta(`${ANCHOR} Ten.`), ending());
    assert.deepEqual((await new Asked(model, CONTINUED).reply).continued, { ways: ["anchored"] });
    provider.stream(delta(" Ten."), ending());
    const other = { ...CONTINUED, models: ["other/model"] };
    assert.deepEqual((await new Asked(model, other).reply).continued, { ways: ["prefill"] });
  }
});

Deno.test("[TO7] a request that is refused in every way fails as any other, and says nothing about prefills", async () => {
  const provider = new FakeProvider();
  const model = provider.model({ prefillModels: ["*"] });
  for (let way = 0; way < 3; way++) provider.respond(400, REFUSAL);
  const asked = new Asked(model, CONTINUED);
  await assert.rejects(asked.reply, { code: "model_rejected", retryable: false });
  assert.deepEqual([asked.pieces, asked.restarts], [[], []]);
  provider.stream(delta(" Ten."), ending());
  assert.deepEqual((await new Asked(model, CONTINUED).reply).continued, { ways: ["prefill"] });
});

Deno.test("[TO7] a reply without the last words is given up while it runs, and the question is asked again", async () => {
  const provider = new FakeProvider();
  const stream = provider.openStream();
  provider.stream(delta("A new answer"), delta(" altogether."), ending());
  const asked = new Asked(provider.model(), CONTINUED);
  for (let n = 0; n < 30; n++) stream.write(delta("without the anchor "));
  const { continued } = await asked.reply;
  assert.ok(provider.requests[0]?.signal.aborted);
  assert.deepEqual(messagesOf(provider, 1), [question]);
  assert.deepEqual(continued, { ways: ["anchored", "restart"] });
  assert.deepEqual([asked.restarts, asked.text], [[0], "A new answer altogether."]);
  assert.equal(provider.log[0]?.why, "no_anchor");
});

Deno.test("[TO7] a short answer is asked for again, and replaced only if the new one differs", async () => {
  for (
    const [again, shown, restarts] of [["One two three four.", "four.", []], ["Eins.", "Eins.", [0]]] as const
  ) {
    const provider = new FakeProvider();
    provider.stream(...[...again].map(delta), ending());
    const asked = new Asked(provider.model(), { ...QUESTION, partial: "One two three " });
    assert.deepEqual((await asked.reply).continued, { ways: ["restart"] });
    assert.deepEqual(messagesOf(provider, 0), [question]);
    assert.deepEqual([asked.text, asked.restarts], [shown, restarts]);
  }
});

Deno.test("[TO7] [MD2] what is held back does not count as begun: the same way is tried again", async () => {
  const provider = new FakeProvider();
  provider.stream(delta(ANCHOR.slice(0, 30)), sse({ error: { code: 502, message: "x" } }));
  provider.stream(delta(`${ANCHOR} Ten`), sse({ error: { code: 502, message: "x" } }));
  const asked = new Asked(provider.model({ maxRetries: 2 }), CONTINUED);
  await settle();
  provider.clock.advance(250);
  await assert.rejects(asked.reply, { code: "model_unavailable" });
  assert.equal(asked.text, "Ten");
  assert.equal(provider.requests.length, 2, "after the first text it is not asked again");
});

Deno.test("[TO7] after the first text a refusal in the stream ends the turn, it does not ask in another way", async () => {
  const provider = new FakeProvider();
  provider.stream(delta(`${ANCHOR} Ten`), sse({ error: { code: 400, message: "x" } }));
  const asked = new Asked(provider.model(), CONTINUED);
  await assert.rejects(asked.reply, { code: "model_rejected" });
  assert.equal(provider.requests.length, 1);
});

Deno.test("[TO7] if no way brings any text, the turn fails, and what was shown stays", async () => {
  const provider = new FakeProvider();
  provider.stream(ending());
  provider.stream(ending());
  const asked = new Asked(provider.model(), CONTINUED);
  await assert.rejects(asked.reply, { code: "empty_answer", retryable: true });
  assert.deepEqual(asked.restarts, []);
});

Deno.test("[TO7] an abort ends a continuation, whichever way is tried", async () => {
  const provider = new FakeProvider();
  provider.respond(400, REFUSAL);
  provider.keepWaiting();
  const asked = new Asked(provider.model({ prefillModels: ["*"] }), CONTINUED);
  await settle();
  assert.equal(provider.requests.length, 2);
  asked.abort.abort(new Error("cancelled"));
  await assert.rejects(asked.reply, { message: "cancelled" });
  assert.equal(provider.requests.length, 2);
});

Deno.test("[TO7] which models take a prefill by default", () => {
  const models = new PrefillModels(environment.PREFILL_MODELS(undefined));
  for (
    const name of [
      "anthropic/claude-3-haiku",
      "anthropic/claude-3.5-sonnet",
      "claude-3-7-sonnet-20250219",
      "anthropic/claude-sonnet-4",
      "claude-opus-4-20250514",
      "anthropic/claude-opus-4.1",
      "claude-opus-4-1-20250805",
      "anthropic/claude-sonnet-4.5",
      "us.anthropic.claude-haiku-4-5-20251001-v1:0",
      "mistralai/mistral-large",
      "Mistral-small-latest",
    ]
  ) {
    assert.ok(models.has(name), name);
  }
  for (
    const name of [
      "anthropic/claude-sonnet-4.6",
      "claude-opus-4-6",
      "us.anthropic.claude-opus-4-6-v1",
      "anthropic/claude-opus-5",
      "openai/gpt-4-turbo",
      "deepseek/deepseek-chat",
      "google/gemini-2.5-pro",
      "not-a-mistral-one",
    ]
  ) {
    assert.ok(!models.has(name), name);
  }
  assert.ok(!new PrefillModels(["none"]).has("test/model"));
  assert.ok(!new PrefillModels(["a.b"]).has("aXb"), "only * is special");
});

Deno.test("the models that refuse a prefill are remembered up to a limit, the newest", () => {
  const models = new PrefillModels(["*"]);
  for (let n = 0; n < 150; n++) models.refused(`m${n}`);
  assert.deepEqual([models.has("m0"), models.has("m149")], [true, false]);
});

Deno.test("[TO7] [MD7] white space behind thoughts separates the words of a prefilled answer", async () => {
  for (const pieces of [["<think>hm</think> and", " then"], ["<think>hm</think>", " ", "and then"]]) {
    const provider = new FakeProvider();
    provider.stream(...pieces.map((piece) => delta(piece)), ending());
    const begun = BEGUN.trimEnd();
    const asked = new Asked(provider.model({ prefillModels: ["*"] }), { ...QUESTION, partial: begun });
    await asked.reply;
    assert.equal(asked.text, " and then");
  }
});

Deno.test("[TO7] a prompt that is too long with the answer so far says nothing about prefills", async () => {
  const provider = new FakeProvider();
  const model = provider.model({ prefillModels: ["*"] });
  const tooLong = JSON.stringify({ error: { code: "context_length_exceeded", message: "too long" } });
  provider.respond(400, tooLong);
  provider.respond(400, tooLong);
  provider.stream(delta("A new answer."), ending());
  const { continued } = await new Asked(model, CONTINUED).reply;
  assert.deepEqual(continued, { ways: ["prefill", "anchored", "restart"] });
  assert.equal(provider.log.find(({ event }) => event === "model_continuation_failed")?.why, "too_long");
  provider.stream(delta(" ten."), ending());
  assert.deepEqual((await new Asked(model, CONTINUED).reply).continued, { ways: ["prefill"] });
});

Deno.test("[TO7] [MD4] a fallback that refuses the prefill is asked in the next way", async () => {
  const provider = new FakeProvider();
  const baseUrl = "https://elsewhere.test/v1";
  const model = provider.model({ baseUrl, prefillModels: ["*"] });
  provider.respond(503, "{}");
  provider.respond(400, REFUSAL);
  provider.respond(503, "{}");
  provider.stream(delta(`${ANCHOR} Ten.`), ending());
  const asked = new Asked(model, { ...CONTINUED, models: ["a/one", "b/two"] });
  assert.deepEqual((await asked.reply).continued, { ways: ["prefill", "anchored"] });
  assert.equal(asked.text, "Ten.");
});
