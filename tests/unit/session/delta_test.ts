import assert from "node:assert/strict";
import { startAgent } from "../../support/agent_harness.ts";
import { settle } from "../../support/manual_clock.ts";

Deno.test("[DL1] deltas go to those who asked for them", async () => {
  const { connect, model } = startAgent();
  const plain = await connect();
  const streaming = await connect(`stream=true&${plain.resumeQuery(0)}`);
  plain.ask("one");
  await settle();
  model.last.say("a");
  model.last.finish("b");
  await settle();
  assert.equal(plain.of("delta").length, 0);
  assert.equal(streaming.of("delta").length, 2);
  plain.ask("two", { stream: true });
  await settle();
  model.last.finish("c");
  await settle();
  assert.equal(plain.of("delta").length, 1);
  streaming.ask("three", { stream: false });
  await settle();
  model.last.finish("d");
  await settle();
  assert.equal(streaming.of("delta").length, 3, "its own query without deltas");
  plain.command("configure", { stream: true });
  plain.ask("four");
  await settle();
  model.last.finish("e");
  await settle();
  assert.equal(plain.of("delta").length, 2);
});

Deno.test("[DL2] [DL3] the deltas of a turn build the response's content", async () => {
  const { connect, model } = startAgent();
  const client = await connect("stream=true");
  client.ask("x");
  await settle();
  for (const piece of ["Grüße, ", "🙂\ud83d", "\ude00 ", '\u0000"\\\n', "end"]) model.last.say(piece);
  model.last.finish();
  await settle();
  const response = client.only("response");
  assert.equal(response.content, 'Grüße, 🙂😀 \u0000"\\\nend');
  assert.equal(client.textOf(response.turn_id), response.content);
  assert.deepEqual(client.of("delta").map(({ offset }) => offset), [0, 7, 10, 12, 16]);
});

Deno.test("[DL4] for a reader that is behind deltas are merged, and dropped when the response says it all", async () => {
  const { connect, model, clock } = startAgent();
  const client = await connect("stream=true");
  client.ask("x");
  await settle();
  model.last.say("a");
  client.bufferedAmount = 20_000;
  for (const piece of ["b", "c", "d"]) model.last.say(piece);
  assert.equal(client.of("delta").length, 1);
  client.bufferedAmount = 0;
  clock.advance(10);
  assert.deepEqual(client.of("delta").map(({ offset, content }) => [offset, content]), [[0, "a"], [
    1,
    "bcd",
  ]]);
  client.bufferedAmount = 20_000;
  model.last.say("e");
  model.last.finish("f");
  await settle();
  client.bufferedAmount = 0;
  clock.advance(10_000);
  assert.equal(client.of("delta").length, 2);
  assert.equal(client.only("response").content, "abcdef");
});

Deno.test("[LM4] a reader that does not read is closed 3008, and its neighbour never waits", async () => {
  const { connect, model, clock } = startAgent({ maxBufferedBytes: 50_000 });
  const good = await connect("stream=true");
  const stuck = await connect(`stream=true&${good.resumeQuery(0)}`);
  good.ask("x");
  await settle();
  stuck.stuffing = 1;
  stuck.bufferedAmount = 20_000;
  for (let n = 0; n < 40; n++) {
    model.last.say("y".repeat(1000));
    assert.equal(good.of("delta").length, n + 1);
  }
  assert.deepEqual(stuck.closed, { code: 3008, reason: "Slow consumer" });
  assert.ok(stuck.bufferedAmount <= 50_000);
  model.last.finish();
  await settle();
  assert.equal(good.only("response").content.length, 40_000);
  clock.advance(1000);
  assert.ok(good.isOpen);
});

Deno.test("[LM4] one event larger than the cap may stand alone", async () => {
  const { connect, model } = startAgent({ maxBufferedBytes: 1000 });
  const client = await connect();
  client.ask("x");
  await settle();
  model.last.finish("z".repeat(5000));
  await settle();
  assert.equal(client.only("response").content.length, 5000);
  assert.ok(client.isOpen);
});

Deno.test("[LM4] durable frames for a reader that does not read are bounded too", async () => {
  const { connect, model } = startAgent({ maxBufferedBytes: 10_000 });
  model.onCall = (call) => call.finish("r".repeat(3000));
  const client = await connect();
  client.stuffing = 1;
  for (let n = 0; n < 10 && client.closed === undefined; n++) {
    client.ask(String(n));
    await settle();
  }
  assert.equal(client.closed?.code, 3008);
  assert.ok(client.bufferedAmount <= 10_000);
});
