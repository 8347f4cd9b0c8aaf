import assert from "node:assert/strict";
import { OnDemand } from "../../../supabase/functions/_shared/on_demand.ts";
import { type Decode, decode } from "../../../supabase/functions/_shared/protocol/decode.ts";
import { startAgent } from "../../support/agent_harness.ts";
import { settle } from "../../support/manual_clock.ts";

Deno.test("[FR9] a frame over the limit is refused, one far over it closes the connection", async () => {
  const { connect, clock } = startAgent({ maxMessageBytes: 100 });
  const client = await connect();
  client.say("x".repeat(101));
  client.say("é".repeat(60));
  client.say(new ArrayBuffer(1600));
  assert.deepEqual(client.of("error").map(({ code }) => code), Array(3).fill("message_too_large"));
  assert.ok(client.isOpen);
  client.say("x".repeat(1601));
  clock.advance(250);
  assert.deepEqual(client.closed, { code: 1009, reason: "Frame too large" });
});

Deno.test("[FR1] [FR10] [FR12] a bad frame is answered, and nothing else is touched", async () => {
  const { connect, model } = startAgent();
  const client = await connect("stream=true");
  const neighbour = await connect();
  client.ask("running");
  await settle();
  for (
    const bad of [
      "",
      "null",
      "[]",
      "1",
      "{",
      '{"type":"nope"}',
      '{"content":{}}',
      '{"type":"status","content":"x"}',
    ]
  ) client.say(bad);
  client.say(new Uint8Array([0xff, 0xfe]).buffer);
  assert.equal(client.of("error").length, 9);
  assert.equal(neighbour.frames.length, 1);
  model.last.finish("still here");
  await settle();
  assert.equal(client.only("response").content, "still here");
  assert.ok(client.isOpen);
});

Deno.test("[FR1] frames that come while the decoder is loaded are answered in order, and the rate holds for them", async () => {
  const loading = Promise.withResolvers<Decode>();
  const { connect } = startAgent({ decoder: new OnDemand(() => loading.promise), perMinute: 60, burst: 3 });
  const client = await connect();
  client.ask("first", { id: "a" });
  client.say("garbage");
  client.command("ping", undefined, "b");
  client.command("ping", undefined, "c");
  await settle();
  assert.equal(client.frames.length, 1, "only the welcome");
  loading.resolve(decode);
  await settle();
  client.command("ping", undefined, "d");
  const answers = client.frames.slice(1).map(({ code, in_reply_to }) => [code, in_reply_to]);
  assert.deepEqual(answers.filter(([code]) => code !== "thinking"), [
    ["invalid_json", undefined],
    ["pong", "b"],
    ["rate_limited", "c"],
    ["rate_limited", "d"],
  ]);
  assert.equal(client.only("status", "thinking").in_reply_to, "a");
});

Deno.test("[FR9] what waits for the decoder is bounded, and what is over it is refused at once", async () => {
  const loading = Promise.withResolvers<Decode>();
  const { connect } = startAgent({ decoder: new OnDemand(() => loading.promise) });
  const client = await connect();
  const frame = JSON.stringify({ type: "command", content: "ping", padding: "x".repeat(60_000) });
  for (let count = 0; count < 20; count++) client.say(frame);
  const refused = 20 - Math.floor(1_048_576 / frame.length);
  assert.equal(client.of("error", "rate_limited").length, refused);
  loading.resolve(decode);
  await settle();
  assert.equal(client.of("status", "pong").length, 20 - refused);
});

Deno.test("[FR1] where the decoder cannot be loaded the frame is answered, and the next one tries again", async () => {
  let attempts = 0;
  const { connect, logged } = startAgent({
    decoder: new OnDemand(() =>
      ++attempts === 1 ? Promise.reject(new Error("no module")) : Promise.resolve(decode)
    ),
  });
  const client = await connect();
  client.command("ping");
  await settle();
  assert.equal(client.only("error").code, "internal");
  assert.equal(logged.find(({ event }) => event === "frame_failed")?.level, "error");
  client.command("ping");
  await settle();
  client.only("status", "pong");
});

Deno.test("[LM1] frames cost a token each, whatever is in them, and tokens come back", async () => {
  const { connect, clock } = startAgent({ perMinute: 60, burst: 3 });
  const client = await connect();
  client.command("ping");
  client.say("garbage");
  client.command("ping");
  client.command("ping", undefined, "over");
  await settle();
  const { code, retryable, retry_after_ms, limit, remaining } = client.of("error").at(-1) ?? {};
  assert.deepEqual({ code, retryable, retry_after_ms, limit, remaining }, {
    code: "rate_limited",
    retryable: true,
    retry_after_ms: 1000,
    limit: 60,
    remaining: 0,
  });
  clock.advance(1000);
  client.command("ping");
  await settle();
  assert.equal(client.of("status", "pong").length, 3);
});

Deno.test("[LM1] the bucket is the user's, or the session's and the address's", async () => {
  const { connect, verifier } = startAgent({ perMinute: 60, burst: 2 });
  verifier.admit("ann's", "ann");
  const [one, two] = [await connect("jwt=ann's"), await connect("jwt=ann's")];
  for (const client of [one, two, one, two]) client.command("ping");
  await settle();
  assert.equal(one.of("error").length + two.of("error").length, 2);
  let invented = 0;
  const from = (address: string): Promise<Awaited<ReturnType<typeof connect>>> =>
    connect("", { "x-forwarded-for": `${invented++}, ${address}` });
  const [here, alsoHere, elsewhere] = [
    await from("192.0.2.1"),
    await from("192.0.2.1"),
    await from("192.0.2.2"),
  ];
  for (const client of [here, here, alsoHere, elsewhere, elsewhere]) client.command("ping");
  await settle();
  assert.deepEqual([here, alsoHere, elsewhere].map((client) => client.of("error").length), [0, 1, 0]);
});

Deno.test("[LM2] ten thousand frames at once close the connection 1008, and nothing grows", async () => {
  const { connect, clock, model } = startAgent({ perMinute: 60, burst: 20 });
  const client = await connect();
  const neighbour = await connect();
  for (let n = 0; n < 10_000; n++) client.ask("flood");
  await settle();
  assert.equal(client.of("error", "rate_limited").length, 100);
  clock.advance(250);
  assert.deepEqual(client.closed, { code: 1008, reason: "Rate limit abused" });
  assert.ok(client.frames.length < 200);
  assert.equal(model.calls.length, 1);
  neighbour.command("ping");
  await settle();
  assert.equal(neighbour.of("status", "pong").length, 1);
});

Deno.test("[LM2] the close waits until the client has gone quiet, but not for ever", async () => {
  const { connect, clock } = startAgent({ perMinute: 60, burst: 1 });
  const client = await connect();
  for (let n = 0; n < 101; n++) client.command("ping");
  for (let n = 0; n < 6; n++) {
    clock.advance(200);
    client.command("ping");
  }
  assert.ok(client.isOpen, "still sending");
  for (let n = 0; n < 6; n++) {
    clock.advance(200);
    client.command("ping");
  }
  assert.equal(client.closed?.code, 1008);
});

Deno.test("[LM6] a silent session is closed with the seed's words; a running answer is no silence", async () => {
  const { connect, clock, model, server } = startAgent();
  const idle = await connect();
  const busy = await connect();
  busy.ask("long");
  await settle();
  const minutes = 60_000;
  clock.advance(31 * minutes);
  assert.ok(idle.isOpen, "swept only every five minutes");
  clock.advance(4 * minutes);
  await settle();
  assert.equal(idle.only("notification", "session_timeout").content, "Session closed due to inactivity");
  assert.deepEqual(idle.closed, { code: 1000, reason: "Session timeout" });
  assert.ok(busy.isOpen);
  model.last.finish("done");
  await settle();
  clock.advance(25 * minutes);
  busy.command("ping");
  await settle();
  clock.advance(25 * minutes);
  assert.ok(busy.isOpen);
  clock.advance(15 * minutes);
  await settle();
  assert.ok(!busy.isOpen);
  idle.vanish();
  busy.vanish();
  assert.equal(server.count().sessions, 0);
  assert.equal(clock.pending, 0, "no timer runs when there is nothing to sweep");
});

Deno.test("[DU6] each sweep prunes the store that outlives the worker, and survives its failure", async () => {
  for (const isDurable of [true, false]) {
    let pruned = 0;
    const { connect, clock, logged } = startAgent({
      isDurable,
      prune: () => ++pruned === 1 ? Promise.reject(new Error("no database")) : Promise.resolve(),
    });
    await connect();
    clock.advance(600_000);
    await settle();
    assert.equal(pruned, isDurable ? 2 : 0);
    assert.equal(logged.filter(({ event }) => event === "prune_failed").length, isDurable ? 1 : 0);
  }
});

Deno.test("[DU6] [LM9] the store is pruned also where sessions never expire", async () => {
  let pruned = 0;
  const { connect, clock, server } = startAgent({
    isDurable: true,
    idleTimeoutMs: 0,
    prune: () => Promise.resolve(++pruned),
  });
  const client = await connect();
  clock.advance(7 * 86_400_000);
  await settle();
  assert.ok(pruned > 2000, `${pruned}`);
  assert.ok(client.isOpen);
  assert.equal(server.count().sessions, 1);
});

Deno.test("[LM6] an expired session is unknown on resume", async () => {
  const { connect, clock } = startAgent();
  const client = await connect();
  client.vanish();
  clock.advance(36 * 60_000);
  await settle();
  const again = await connect(client.resumeQuery(0));
  assert.equal((again.welcome.resumed as { reason: string }).reason, "unknown_session");
});

Deno.test("[LM7] the session that was left longest ago makes room", async () => {
  const { connect, clock, server } = startAgent({ maxSessions: 3 });
  const first = await connect();
  clock.advance(1000);
  const second = await connect();
  clock.advance(1000);
  const third = await connect();
  first.command("ping");
  first.vanish();
  second.vanish();
  const fourth = await connect();
  await settle();
  assert.equal(server.count().sessions, 3);
  assert.equal((await connect(first.resumeQuery(0))).sessionId, first.sessionId);
  fourth.vanish();
  assert.notEqual((await connect(second.resumeQuery(0))).sessionId, second.sessionId);
  assert.ok(third.isOpen);
});

Deno.test("[LM7] where all are held the newcomer is told to come back", async () => {
  const { connect } = startAgent({ maxSessions: 1 });
  await connect();
  const client = await connect();
  assert.deepEqual([client.only("error").code, client.only("error").retry_after_ms], [
    "too_many_sessions",
    5000,
  ]);
  assert.deepEqual(client.closed, { code: 1013, reason: "Try again later" });
});

Deno.test("[LM8] heartbeats come to those who asked, and their timer ends with them", async () => {
  const { connect, clock } = startAgent();
  const asked = await connect("heartbeat=true");
  const other = await connect();
  clock.advance(75_000);
  assert.equal(asked.of("heartbeat").length, 3);
  assert.equal(other.of("heartbeat").length, 0);
  asked.vanish();
  const before = clock.pending;
  assert.equal(before, 1, "the sweep alone");
});

Deno.test("[LM9] a limit of 0 is switched off", async () => {
  const { connect, model } = startAgent({
    perMinute: 0,
    maxSessions: 0,
    settings: { maxQueue: 0 },
    maxConnections: 0,
    maxConnectionsPerUser: 0,
    server: { heartbeatIntervalMs: 0, tokenExpiryNoticeMs: 0 },
  });
  const client = await connect("heartbeat=true");
  for (let n = 0; n < 500; n++) client.ask(String(n));
  await settle();
  assert.equal(client.of("error").length, 0);
  assert.equal(client.of("status", "queued").length, 499);
  assert.equal(model.calls.length, 1);
});
