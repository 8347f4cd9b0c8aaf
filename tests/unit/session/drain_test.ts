import assert from "node:assert/strict";
import { startAgent } from "../../support/agent_harness.ts";
import { settle } from "../../support/manual_clock.ts";
import { startTwoWorkers } from "../../support/two_workers.ts";
import { startWorkers } from "../../support/workers.ts";

Deno.test("[CL1] idle connections go at once, the others when their answer is out", async () => {
  const { connect, model, server } = startAgent();
  const idle = await connect();
  const busy = await connect();
  busy.ask("long", { id: "a" });
  busy.ask("waits", { id: "b" });
  await settle();
  const drained = server.drain("wall_clock");
  await settle();
  assert.deepEqual(idle.only("notification", "reconnecting").data, { after_ms: 0 });
  assert.equal(idle.closed?.code, 1012);
  const waiting = busy.only("error");
  assert.deepEqual([waiting.code, waiting.in_reply_to, waiting.retryable, waiting.partial], [
    "interrupted",
    "b",
    true,
    undefined,
  ]);
  busy.ask("no more", { id: "c" });
  assert.equal(busy.of("error").at(-1)?.code, "shutting_down");
  assert.ok(busy.isOpen);
  model.last.finish("whole");
  await settle();
  assert.equal(busy.only("response").content, "whole");
  assert.equal(busy.closed?.code, 1012);
  idle.vanish();
  busy.vanish();
  await drained;
});

Deno.test("[CL1] an answer that takes too long ends interrupted, with what was written", async () => {
  const { connect, model, server, clock } = startAgent();
  const client = await connect();
  client.ask("long", { id: "a" });
  await settle();
  model.last.say("So far");
  const drained = server.drain("wall_clock");
  clock.advance(9999);
  await settle();
  assert.ok(client.isOpen);
  clock.advance(1);
  await settle();
  const error = client.only("error");
  assert.deepEqual([error.code, error.partial, error.retryable, error.seq], [
    "interrupted",
    "So far",
    true,
    2,
  ]);
  assert.equal(model.last.signal.aborted, true);
  assert.equal(client.closed?.code, 1012);
  clock.advance(1000);
  await drained;
  client.vanish();
  assert.equal(clock.pending, 0);
});

Deno.test("[CL1] who connects while the worker ends is sent on", async () => {
  const { connect, server } = startAgent();
  await server.drain("wall_clock");
  const client = await connect();
  assert.equal(client.only("notification").code, "reconnecting");
  assert.equal(client.closed?.code, 1012);
});

Deno.test("[CL3] with a database that does not answer, idle connections are sent on at once, and the worker ends", async () => {
  const workers = startWorkers();
  const a = workers.start("a");
  const quiet = await a.connect();
  const active = await a.connect();
  workers.clock.advance(1000);
  // The store must be informed that the session is in use.
  active.command("ping");
  await settle();
  a.latencyMs = 60_000;
  let isOver = false;
  const drained = a.server.drain("SIGTERM").then(() => isOver = true);
  for (const client of [quiet, active]) {
    assert.deepEqual(client.only("notification", "reconnecting").data, { after_ms: 0 });
    assert.equal(client.closed?.code, 1012);
    client.vanish();
  }
  await settle();
  await workers.pass(2999);
  assert.equal(isOver, false, "the last write has some time");
  await workers.pass(1);
  await drained;
});

Deno.test("[CL3] [TO6] with a database that does not answer, a running answer lets its connections go a second after its time", async () => {
  for (const isFinished of [false, true]) {
    const { workers, a, client } = await startTwoWorkers({ asks: { q: "count" } });
    a.model.last.say("one two");
    await workers.pass(500);
    a.latencyMs = 60_000;
    const drained = a.server.drain("SIGTERM");
    await workers.pass(5000);
    if (isFinished) a.model.last.finish(" three");
    await workers.pass(5999);
    assert.equal(client.isOpen, true);
    await workers.pass(1);
    assert.deepEqual(client.only("notification", "reconnecting").data, { after_ms: 0 });
    assert.equal(client.closed?.code, 1012);
    assert.equal(client.of("error").length, 0);
    client.vanish();
    await workers.pass(3000);
    await drained;
  }
});

Deno.test("[CL2] the worker is held while a socket is open or a turn runs", async () => {
  const { connect, model, held } = startAgent();
  const isSettled = async (work: Promise<unknown>): Promise<boolean> => {
    const pending = Symbol();
    await settle();
    return await Promise.race([work, Promise.resolve(pending)]) !== pending;
  };
  const client = await connect();
  const [socket] = held;
  assert.ok(socket);
  assert.equal(await isSettled(socket), false);
  client.ask("x");
  await settle();
  client.vanish();
  assert.equal(await isSettled(socket), true);
  const settled = await Promise.all(held.map(isSettled));
  assert.equal(settled.filter((is) => !is).length, 1, "the turn");
  model.last.finish("y");
  await settle();
  assert.deepEqual(await Promise.all(held.map(isSettled)), held.map(() => true));
});

Deno.test("[CL2] closing twice, or losing a socket twice, does nothing more", async () => {
  const { connect, server, clock, metrics } = startAgent();
  const client = await connect();
  client.vanish();
  client.connection.lost(1005);
  client.connection.lost(0);
  client.say({ type: "command", content: "ping" });
  assert.equal(server.count().connections, 0);
  assert.match(metrics.render([]), /connections_closed_total\{code="1006"\} 1\n/);
  assert.equal(clock.pending, 1, "the sweep alone");
});

Deno.test("[CL2] a socket that is lost before it has a session leaves nothing behind", async () => {
  const { connect, server, clock, verifier } = startAgent({ mode: "required" });
  const silent = await connect();
  silent.vanish();
  verifier.admit("good", "ann");
  assert.equal(server.count().connections, 0);
  assert.equal(clock.pending, 0);
});
