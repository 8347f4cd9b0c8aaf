/** `?reasoning=true`: what the model thinks, in frames of its own. */

import assert from "node:assert/strict";
import { OVERHEAD_BYTES } from "../../../supabase/functions/_shared/guard/memory_budget.ts";
import { startAgent, type TestClient } from "../../support/agent_harness.ts";
import { settle } from "../../support/manual_clock.ts";
import { startTwoWorkers } from "../../support/two_workers.ts";
import { LEASE_MS } from "../../support/workers.ts";

/** The reasoning that a client builds from frames. Fails if a frame would leave a hole. */
function thoughtsOf(client: TestClient, turnId?: unknown): string {
  let text = "";
  for (const frame of client.frames) {
    if (frame.type !== "reasoning" || (turnId ?? frame.turn_id) !== frame.turn_id) continue;
    assert.ok(frame.offset <= text.length, `a hole before ${frame.offset}`);
    text = text.slice(0, frame.offset) + frame.content;
  }
  return text;
}

Deno.test("[RE1] reasoning goes to the connections that asked for it, and to no other", async () => {
  const { connect, model, metrics } = startAgent();
  const asking = await connect("reasoning=true&stream=true");
  const plain = await connect(`stream=true&${asking.resumeQuery(0)}`);
  const textless = await connect(`reasoning=1&${asking.resumeQuery(0)}`);
  asking.ask("Why?", { id: "q" });
  await settle();
  model.last.think("Let me ");
  model.last.say("Be");
  model.last.think("see.");
  model.last.finish("cause.");
  await settle();
  const response = asking.only("response");
  assert.equal(response.content, "Because.");
  for (const client of [asking, textless]) {
    assert.deepEqual(
      client.of("reasoning").map(({ turn_id, in_reply_to, offset, content }) => [
        turn_id,
        in_reply_to,
        offset,
        content,
      ]),
      [[response.turn_id, "q", 0, "Let me "], [response.turn_id, "q", 7, "see."]],
    );
  }
  assert.deepEqual(plain.of("reasoning"), []);
  assert.equal(plain.textOf(response.turn_id), "Because.");
  assert.match(metrics.render([]), /\nagent_websocket_reasoning_sent_total 4\n/);
  assert.match(metrics.render([]), /\nagent_websocket_deltas_sent_total 4\n/);
});

Deno.test("[RE1] the parameter is true or false", async () => {
  const { connect, dial, model } = startAgent();
  for (const value of ["false", "0"]) {
    const client = await connect(`reasoning=${value}`);
    client.ask("Why?");
    await settle();
    model.last.think("Hm.");
    model.last.finish("Because.");
    await settle();
    assert.equal(client.of("reasoning").length, 0);
    assert.equal(client.of("response").length, 1);
  }
  for (const value of ["yes", "", "2"]) {
    assert.throws(
      () => dial(`reasoning=${value}`),
      (error: Error & { code?: string }) =>
        error.code === "invalid_frame" &&
        error.message === 'Cannot connect: "reasoning" must be true or false',
    );
  }
});

Deno.test("[RE2] a connection that becomes live while the model thinks gets everything from offset 0", async () => {
  const { connect, model } = startAgent();
  const first = await connect("reasoning=true");
  first.ask("Why?");
  await settle();
  model.last.think("Let me ");
  model.last.think("see");
  const second = await connect(`reasoning=true&${first.resumeQuery(0)}`);
  assert.deepEqual(second.of("reasoning").map(({ offset, content }) => [offset, content]), [[
    0,
    "Let me see",
  ]]);
  model.last.think(".");
  assert.equal(thoughtsOf(second), "Let me see.");
  assert.equal(thoughtsOf(first), "Let me see.");
});

Deno.test("[RE2] reasoning waits for the question to be in the log, as text does", async () => {
  const agent = startAgent();
  const { connect, model, store } = agent;
  const client = await connect("reasoning=true&stream=true");
  const commit = store.commit.bind(store);
  const written = Promise.withResolvers<void>();
  store.commit = async (...write) => {
    await written.promise;
    return await commit(...write);
  };
  client.ask("Why?");
  await settle();
  model.last.think("Hm. ");
  model.last.think("So.");
  model.last.say("Be");
  await settle();
  assert.deepEqual(client.of("reasoning"), []);
  written.resolve();
  await settle();
  assert.deepEqual(client.of("reasoning").map(({ offset, content }) => [offset, content]), [[0, "Hm. So."]]);
  assert.deepEqual(client.frames.slice(1).map(({ type }) => type), ["status", "reasoning", "delta"]);
});

for (const isStopped of [false, true]) {
  const what = isStopped
    ? "stopped, and its reasoning is not shown"
    : "complete, and its reasoning is shown before it";
  Deno.test(`[RE2] an answer that ends before its question is in the log is ${what}`, async () => {
    const { connect, model, store } = startAgent();
    const client = await connect("reasoning=true&stream=true");
    const commit = store.commit.bind(store);
    const written = Promise.withResolvers<void>();
    store.commit = async (...write) => {
      await written.promise;
      return await commit(...write);
    };
    client.ask("Why?", { id: "q" });
    await settle();
    model.last.think("Hm. ");
    model.last.think("So.");
    if (isStopped) client.command("cancel", { id: "q" });
    else model.last.finish("Because.");
    await settle();
    assert.deepEqual(client.of("reasoning"), []);
    written.resolve();
    await settle();
    const frames = client.frames.slice(1).filter(({ code }) => code !== "cancelling");
    assert.deepEqual(frames.map(({ type, content }) => [type, content]), [
      ["status", "Thinking..."],
      ...(isStopped ? [["status", "Cancelled"]] : [["reasoning", "Hm. So."], ["response", "Because."]]),
    ]);
  });
}

Deno.test("[RE2] of a turn that was stopped nothing more is shown, also to a slow reader", async () => {
  const { connect, model, clock } = startAgent();
  const client = await connect("reasoning=true");
  const slow = await connect(`reasoning=true&${client.resumeQuery(0)}`);
  client.ask("Why?");
  await settle();
  model.last.think("Let me ");
  slow.bufferedAmount = 20_000;
  model.last.think("see.");
  assert.equal(thoughtsOf(client), "Let me see.");
  assert.equal(thoughtsOf(slow), "Let me ");
  const { last } = model;
  client.command("cancel");
  await settle();
  last.think(" More.");
  slow.bufferedAmount = 0;
  clock.advance(10_000);
  await settle();
  assert.equal(thoughtsOf(client), "Let me see.");
  assert.equal(thoughtsOf(slow), "Let me ");
  assert.equal(slow.only("status", "cancelled").partial, "");
});

Deno.test("[RE4] for a reader that is behind reasoning is merged, and its deltas are complete", async () => {
  const { connect, model, clock } = startAgent();
  const client = await connect("reasoning=true&stream=true");
  client.ask("Why?");
  await settle();
  model.last.think("a");
  client.bufferedAmount = 20_000;
  for (const piece of ["b", "c"]) model.last.think(piece);
  for (const piece of ["x", "y"]) model.last.say(piece);
  model.last.think("d");
  assert.equal(client.of("reasoning").length, 1);
  assert.equal(client.of("delta").length, 0);
  client.bufferedAmount = 0;
  clock.advance(10);
  assert.deepEqual(client.of("reasoning").map(({ offset, content }) => [offset, content]), [
    [0, "a"],
    [1, "bcd"],
  ]);
  assert.deepEqual(client.of("delta").map(({ offset, content }) => [offset, content]), [[0, "xy"]]);
});

Deno.test("[RE4] [LM4] a reader that does not read is closed 3008, also if all that it is sent is reasoning", async () => {
  const { connect, model } = startAgent({ maxBufferedBytes: 50_000 });
  const good = await connect("reasoning=true");
  const stuck = await connect(`reasoning=true&${good.resumeQuery(0)}`);
  good.ask("Why?");
  await settle();
  stuck.stuffing = 1;
  stuck.bufferedAmount = 20_000;
  for (let n = 0; n < 40; n++) {
    model.last.think("y".repeat(1000));
    assert.equal(good.of("reasoning").length, n + 1);
  }
  assert.deepEqual(stuck.closed, { code: 3008, reason: "Slow consumer" });
  assert.ok(good.isOpen);
});

Deno.test("[RE3] reasoning is not in the log, not in a response, and not in a later prompt", async () => {
  const { connect, model, store } = startAgent();
  const client = await connect("reasoning=true&stream=true");
  client.ask("one");
  await settle();
  model.last.think("A secret thought.");
  model.last.finish("First answer");
  await settle();
  client.ask("two");
  await settle();
  const prompt = JSON.stringify(model.last.request);
  assert.match(prompt, /First answer/);
  assert.doesNotMatch(prompt, /secret/);
  model.last.finish("Second answer");
  await settle();
  const { events } = await store.read(client.sessionId, { afterSeq: 0, limit: 100 });
  assert.equal(events.length, 4);
  assert.doesNotMatch(JSON.stringify(events), /secret/);
  const late = await connect(`reasoning=true&stream=true&${client.resumeQuery(0)}`);
  assert.equal(late.of("response").length, 2);
  assert.deepEqual(late.of("reasoning"), []);
});

Deno.test("[RE3] [MB1] reasoning is counted while it is kept, and given back with the end of its turn", async () => {
  const agent = startAgent();
  const { connect, model, memory } = agent;
  const client = await connect();
  client.ask("Why?");
  await settle();
  const before = memory.keptBytes;
  for (let n = 0; n < 20; n++) model.last.think("x".repeat(1000));
  const during = memory.keptBytes - before;
  assert.ok(during >= 2 * (20_000 - 4096) && during <= 2 * 20_000, `${during}`);
  for (let n = 0; n < 200; n++) model.last.think("x".repeat(1000));
  const most = memory.keptBytes - before;
  assert.ok(most <= 2 * 65_540, `${most}: it is bounded`);
  model.last.finish("Because.");
  await settle();
  assert.ok(memory.keptBytes < before + OVERHEAD_BYTES.event, `${memory.keptBytes - before}`);
});

Deno.test("[RE5] another worker's connection gets the text and no reasoning, and that of the next run from its beginning", async () => {
  const { workers, a, b, client } = await startTwoWorkers({ asks: { q: "Why?" } });
  const other = await b.connect(`reasoning=true&stream=true&${client.resumeQuery(0)}`);
  await workers.pass(300);
  a.model.last.think("Here. ");
  a.model.last.say("Be");
  await workers.pass(600);
  assert.equal(other.textOf(other.of("delta")[0]?.turn_id), "Be");
  assert.deepEqual(other.of("reasoning"), []);
  a.kill();
  await workers.pass(LEASE_MS);
  await workers.pass(1100);
  b.model.last.think("There. ");
  b.model.last.finish("cause.");
  await workers.pass(1000);
  assert.deepEqual(other.of("reasoning").map(({ offset, content }) => [offset, content]), [[0, "There. "]]);
  assert.equal(other.only("response").content, "Because.");
});
