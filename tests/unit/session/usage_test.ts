/** What a turn's requests to the model are accounted for with, and what clients are told of it. */

import assert from "node:assert/strict";
import { AgentError } from "../../../supabase/functions/_shared/errors.ts";
import type {
  AttemptLedger,
  AttemptRow,
  GenerationReader,
  UsageAnswer,
  UsageChange,
} from "../../../supabase/functions/_shared/ports/usage.ts";
import { TRY_AFTER_MS } from "../../../supabase/functions/_shared/usage/reconciler.ts";
import { FLUSH_MS } from "../../../supabase/functions/_shared/usage/usage_queue.ts";
import { startAgent } from "../../support/agent_harness.ts";
import { settle } from "../../support/manual_clock.ts";
import { startTwoClients } from "../../support/two_workers.ts";

/** Keeps the newest state of each row. */
class Ledger implements AttemptLedger {
  readonly rows = new Map<string, AttemptRow>();
  readonly changes: UsageChange[] = [];
  lost: UsageAnswer["lost"] = [];

  account(change: UsageChange): Promise<UsageAnswer> {
    this.changes.push(change);
    for (const row of change.rows) {
      const isKnown = [...this.rows.values()].some(({ turnId }) => turnId === row.turnId);
      for (const [id, { inferred, turnId, begunAt }] of this.rows) {
        if (inferred && turnId === row.turnId && row.begunAt < begunAt) this.rows.delete(id);
      }
      if (!row.inferred || !isKnown) this.rows.set(row.id, row);
    }
    const granted = new Map(change.reservations.map(({ row, maxTokens }) => [row.id, maxTokens]));
    return Promise.resolve({ granted, usedUp: new Set(), dayLeftMs: 1000, lost: this.lost });
  }

  get outcomes(): unknown[] {
    return [...this.rows.values()].map(({ outcome, promptTokens, completionTokens, estimated }) => [
      outcome,
      promptTokens,
      completionTokens,
      estimated,
    ]);
  }
}

const USAGE = { prompt_tokens: 30, completion_tokens: 20, total_tokens: 50, cost: 0.01 };

/** The prompt is "You are a test." and the question: 16 bytes with a question of one letter. */
const PROMPT_TOKENS = 4;

Deno.test("[US1] a row for each request: whose it is, how it ended, and what it used", async () => {
  const attempts = new Ledger();
  const { connect, model, clock, verifier } = startAgent({ attempts });
  verifier.admit("ann's", "ann");
  const client = await connect("jwt=ann's");
  client.ask("a", { id: "a" });
  await settle();
  model.last.finish("Hello", { usage: USAGE, model: "real/model" });
  await settle();
  client.ask("b", { id: "b" });
  await settle();
  model.last.say("12345");
  model.last.fail(new AgentError("model_stream_broken", "broken"));
  await settle();
  assert.equal(attempts.changes.length, 0, "no turn waits for it");
  clock.advance(FLUSH_MS);
  await settle();
  assert.equal(attempts.changes.length, 1);
  const [first, second] = attempts.rows.values();
  const { id: _, turnId, begunAt, endedAt, ...rest } = first ?? assert.fail();
  assert.deepEqual(rest, {
    sessionId: client.sessionId,
    userId: "ann",
    quotaKeys: ["user:ann"],
    model: "real/model",
    generationId: undefined,
    promptTokens: 30,
    completionTokens: 20,
    reasoningTokens: 0,
    cost: 0.01,
    estimated: false,
    outcome: "completed",
  });
  assert.equal(turnId, client.of("response")[0]?.turn_id);
  assert.ok(begunAt === endedAt);
  assert.deepEqual([second?.outcome, second?.completionTokens, second?.estimated], ["failed", 2, true]);
});

Deno.test("[US4] a cancelled turn tells what it has used: estimated, also before the first token", async () => {
  const attempts = new Ledger();
  const { connect, model, clock } = startAgent({ attempts });
  const client = await connect();
  client.ask("a", { id: "a" });
  await settle();
  client.command("cancel");
  await settle();
  const none = {
    prompt_tokens: PROMPT_TOKENS,
    completion_tokens: 0,
    total_tokens: PROMPT_TOKENS,
    estimated: true,
  };
  assert.deepEqual(client.only("status", "cancelled").usage, none);
  client.ask("b", { id: "b" });
  await settle();
  model.last.think("12345678");
  model.last.say("123456789");
  client.command("cancel");
  await settle();
  const usage = { ...none, completion_tokens: 5, reasoning_tokens: 2, total_tokens: PROMPT_TOKENS + 5 };
  assert.deepEqual(client.of("status", "cancelled")[1]?.usage, usage);
  // As it is in the log.
  const resumed = await connect(client.resumeQuery(0));
  assert.deepEqual(resumed.of("status", "cancelled").map((frame) => frame.usage), [none, usage]);
  clock.advance(FLUSH_MS);
  await settle();
  assert.deepEqual(attempts.outcomes, [
    ["cancelled", PROMPT_TOKENS, 0, true],
    ["cancelled", PROMPT_TOKENS, 5, true],
  ]);
});

Deno.test("[US4] a failed turn with text tells what it has used; a turn that never ran has used nothing", async () => {
  const { connect, model } = startAgent();
  const client = await connect();
  client.ask("a", { id: "a" });
  client.ask("b", { id: "b" });
  await settle();
  model.last.say("1234");
  client.command("cancel", { id: "b" });
  await settle();
  model.last.fail(new AgentError("model_stream_broken", "broken"));
  await settle();
  assert.equal(client.only("status", "cancelled").usage, undefined);
  assert.deepEqual(client.only("error").usage, {
    prompt_tokens: PROMPT_TOKENS,
    completion_tokens: 1,
    total_tokens: PROMPT_TOKENS + 1,
    estimated: true,
  });
});

Deno.test("[US1] [OP2] a call in vain and a lost one say so; all count in the metrics", async () => {
  const attempts = new Ledger();
  const { workers, a, b, client, other } = await startTwoClients({ stream: true, worker: { attempts } });
  await workers.pass(30_000);
  client.ask("1", { id: "1" });
  other.ask("2", { id: "2" });
  b.model.last.say("1234");
  await settle();
  a.model.last.finish("ok", { usage: USAGE });
  await settle();
  b.model.calls.at(-1)?.finish("ok", { usage: USAGE });
  a.model.calls.at(-1)?.finish("ok", { usage: USAGE });
  await workers.pass(FLUSH_MS);
  await workers.pass(FLUSH_MS);
  const outcomes = [...attempts.rows.values()].map(({ outcome }) => outcome).sort();
  assert.deepEqual(outcomes, ["completed", "completed", "in_vain"]);
  const text = b.metrics.render([]);
  assert.match(text, /agent_websocket_model_attempts_total\{outcome="in_vain"\} 1\n/);
  assert.match(text, /agent_websocket_tokens_total\{kind="completion"\} [1-9]/);
});

Deno.test("[US1] a worker that loses its turn to another says so", async () => {
  const attempts = new Ledger();
  const { workers, a, b, client } = await startTwoClients({ stream: true, worker: { attempts } });
  client.ask("a", { id: "a" });
  await settle();
  a.model.last.say("1234");
  await workers.pass(600);
  a.isCutOff = true;
  for (let n = 0; n < 40; n++) await workers.pass(500);
  a.isCutOff = false;
  for (let n = 0; n < 40; n++) await workers.pass(500);
  assert.equal(b.model.calls.length, 1);
  b.model.last.finish("!");
  await settle();
  await workers.pass(FLUSH_MS);
  const outcomes = [...attempts.rows.values()].map(({ outcome }) => outcome);
  assert.deepEqual(outcomes.sort(), ["completed", "lost"]);
});

Deno.test("[US1] what a killed worker's request has used is told by the worker that takes its turn over", async () => {
  const attempts = new Ledger();
  const { workers, a, b, client } = await startTwoClients({ stream: true, worker: { attempts } });
  client.ask("a", { id: "a" });
  await settle();
  a.model.last.say("12345678");
  await workers.pass(600);
  a.kill();
  for (let n = 0; n < 20; n++) await workers.pass(500);
  b.model.last.finish("!");
  await settle();
  await workers.pass(FLUSH_MS);
  assert.deepEqual(attempts.outcomes, [
    ["lost", PROMPT_TOKENS, 2, true],
    ["completed", PROMPT_TOKENS + 2, 1, true],
  ]);
});

/** A provider that can be asked later, and answers the second time. */
class LateReader implements GenerationReader {
  readonly asked: string[] = [];

  usageOf(generationId: string): Promise<typeof USAGE | undefined> {
    this.asked.push(generationId);
    return Promise.resolve(this.asked.length % 2 === 0 ? USAGE : undefined);
  }
}

Deno.test("[US2] [OP2] what was estimated is corrected as soon as the provider can tell, and counted once", async () => {
  const attempts = new Ledger();
  const reader = new LateReader();
  const { connect, model, clock, metrics } = startAgent({ attempts, reader });
  const client = await connect();
  client.ask("a", { id: "a" });
  await settle();
  model.last.generationId = "gen-1";
  model.last.say("1234");
  client.command("cancel");
  await settle();
  assert.doesNotMatch(metrics.render([]), /tokens_total\{/, "not before it is known");
  for (const ms of TRY_AFTER_MS) {
    clock.advance(ms);
    await settle();
  }
  clock.advance(FLUSH_MS);
  await settle();
  assert.deepEqual(reader.asked, ["gen-1", "gen-1"]);
  const [row] = attempts.rows.values();
  const corrections = attempts.changes.flatMap(({ corrections }) => corrections);
  assert.deepEqual(corrections, [{ id: row?.id, usage: USAGE }]);
  assert.match(metrics.render([]), /tokens_total\{kind="prompt"\} 30\n/);
  assert.match(metrics.render([]), /cost_usd_total 0.01\n/);
  assert.equal(clock.nextDelayMs === undefined || clock.nextDelayMs > 0, true);
});

Deno.test("[US2] a provider that never tells is asked three times; what it reported at once, it is not asked for", async () => {
  const reader = { asked: 0, usageOf: (): Promise<undefined> => Promise.resolve(void reader.asked++) };
  const { connect, model, clock, metrics } = startAgent({ attempts: new Ledger(), reader });
  const client = await connect();
  client.ask("a", { id: "a" });
  await settle();
  model.last.generationId = "gen-1";
  model.last.finish("ok", { usage: USAGE });
  await settle();
  client.ask("b", { id: "b" });
  await settle();
  model.last.generationId = "gen-2";
  client.command("cancel");
  await settle();
  for (const ms of [...TRY_AFTER_MS, 60_000]) {
    clock.advance(ms);
    await settle();
  }
  assert.equal(reader.asked, TRY_AFTER_MS.length);
  assert.match(metrics.render([]), /tokens_total\{kind="prompt"\} 3\d\n/, "30, and the estimate");
});

Deno.test("[US2] what a killed worker's request has used is asked for by the worker that takes its turn over", async () => {
  const attempts = new Ledger();
  const reader = new LateReader();
  const { connect, model, clock } = startAgent({ attempts, reader });
  attempts.lost = [{ id: "theirs", generationId: "gen-x" }];
  const client = await connect();
  client.ask("a", { id: "a" });
  await settle();
  model.last.finish("ok");
  await settle();
  clock.advance(FLUSH_MS);
  await settle();
  attempts.lost = [];
  for (const ms of [...TRY_AFTER_MS, FLUSH_MS]) {
    clock.advance(ms);
    await settle();
  }
  const corrections = attempts.changes.flatMap(({ corrections }) => corrections);
  assert.deepEqual(corrections, [{ id: "theirs", usage: USAGE }]);
});

Deno.test("[LM5] a turn that the budget does not allow ends with an error; the next query is refused at once", async () => {
  const { connect, model, clock } = startAgent({ tokensPerDay: 10 });
  const client = await connect();
  client.ask("a", { id: "a" });
  await settle();
  const other = await connect(client.resumeQuery(0));
  other.ask("b", { id: "b" });
  await settle();
  // What the first one may still write is reserved.
  model.last.finish("12345678901234567890123456789012345678901234567890");
  await settle();
  const error = other.only("error");
  const midnight = 86_400_000 - clock.now() % 86_400_000;
  assert.deepEqual([error.code, error.retryable, error.retry_after_ms, error.seq], [
    "budget_exceeded",
    true,
    midnight,
    4,
  ]);
  client.ask("c", { id: "c" });
  await settle();
  const [refused] = client.of("error", "budget_exceeded").filter(({ in_reply_to }) => in_reply_to === "c");
  assert.deepEqual([refused?.seq, refused?.retry_after_ms], [undefined, midnight]);
  assert.equal(model.calls.length, 1);
  clock.advance(midnight);
  (await connect()).ask("d", { id: "d" });
  await settle();
  assert.equal(model.calls.length, 2);
});

Deno.test("[US3] max_tokens is lowered to what is left of the budget", async () => {
  const { connect, model } = startAgent({ tokensPerDay: 100 });
  const client = await connect();
  client.ask("a");
  await settle();
  assert.equal(model.last.request.maxTokens, 100);
  model.last.finish("ok", { usage: { ...USAGE, cost: 0 } });
  await settle();
  client.ask("b");
  await settle();
  assert.equal(model.last.request.maxTokens, 50);
});

Deno.test("[US1] without a database and a budget nothing is kept, and no timer runs for it", async () => {
  const { connect, model, clock } = startAgent();
  const client = await connect();
  const before = clock.pending;
  client.ask("a");
  await settle();
  model.last.finish("ok");
  await settle();
  assert.equal(clock.pending, before);
});
