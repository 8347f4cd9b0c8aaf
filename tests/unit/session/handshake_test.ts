import assert from "node:assert/strict";
import { PUBLISHABLE_KEY, startAgent, until } from "../../support/agent_harness.ts";
import { settle } from "../../support/manual_clock.ts";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

Deno.test("[HS3] the welcome is the first frame and has what a client needs", async () => {
  const { connect } = startAgent();
  const client = await connect();
  const { welcome } = client;
  assert.equal(client.frames.length, 1);
  assert.match(String(welcome.session_id), UUID);
  assert.equal(welcome.content, `Connected to Agent WebSocket. Session ID: ${welcome.session_id}`);
  assert.match(String(welcome.connection_id), UUID);
  assert.equal(String(welcome.resume_token).length, 43);
  assert.equal(welcome.durable, false);
  assert.equal(welcome.protocol, 1);
  assert.deepEqual(welcome.limits, { max_message_bytes: 65_536 });
  assert.equal("resumed" in welcome, false);
});

Deno.test("[HS6] frames sent before the welcome are kept in order, up to a bound", async () => {
  const { verifier, dial, model } = startAgent({ settings: { maxQueue: 0 } });
  verifier.admit("good", "ann");
  const early = dial("jwt=good");
  for (let n = 0; n < 101; n++) early.ask(`question ${n}`, { id: `q${n}` });
  await until(() => early.frames.length > 100);
  assert.equal(early.frames[0]?.code, "rate_limited");
  assert.equal(early.frames[1]?.code, "connected");
  assert.equal(early.of("status", "thinking").length, 1);
  assert.equal(early.of("status", "queued").length, 99);
  assert.equal(model.last.request.messages.at(-1)?.content, "question 0");
});

Deno.test("[AU1] the header counts before the subprotocol, and that before the query", async () => {
  const { connect, verifier } = startAgent({ mode: "required" });
  verifier.admit("good", "ann");
  const bearer = { authorization: "Bearer good" };
  const protocol = { "sec-websocket-protocol": "agent-websocket.v1, jwt-good" };
  const wrongProtocol = { "sec-websocket-protocol": "jwt-bad" };
  assert.ok((await connect("jwt=bad", { ...bearer, ...wrongProtocol })).welcome);
  assert.ok((await connect("jwt=bad", protocol)).welcome);
  assert.ok((await connect("jwt=good")).welcome);
  assert.deepEqual((await connect("jwt=good", wrongProtocol)).closed?.code, 4001);
  assert.deepEqual((await connect("", { ...protocol, authorization: "Bearer bad" })).closed?.code, 4001);
});

Deno.test("[AU2] required lets in users, optional anyone, none ignores tokens", async () => {
  for (const mode of ["required", "optional", "none"] as const) {
    const { connect, verifier } = startAgent({ mode });
    verifier.admit("good", "ann");
    const user = await connect("jwt=good");
    assert.equal("resume_token" in user.welcome, mode === "none", mode);
    const nobody = await connect();
    assert.equal(nobody.of("notification", "connected").length, mode === "required" ? 0 : 1, mode);
    const bad = await connect("jwt=bad");
    assert.equal(bad.closed?.code, mode === "none" ? undefined : 4001, mode);
  }
});

Deno.test("[AU3] a bad token is refused by an error and 4001, never taken for none", async () => {
  for (const token of ["jwt=bad", "jwt="]) {
    const { connect } = startAgent({ mode: "optional" });
    const client = await connect(token);
    assert.deepEqual(client.frames.map(({ type, code }) => [type, code]), [["error", "unauthorized"]]);
    assert.deepEqual(client.closed, { code: 4001, reason: "Unauthorized" });
  }
});

Deno.test("[AU3] where tokens cannot be checked the client is told to come back", async () => {
  const { connect, verifier } = startAgent({ mode: "required" });
  verifier.down = true;
  const client = await connect("jwt=good");
  assert.equal(client.only("error").code, "store_unavailable");
  assert.equal(client.only("error").retryable, true);
  assert.equal(client.closed?.code, 1013);
});

Deno.test("[AU4] a publishable key names nobody", async () => {
  const open = startAgent({ mode: "optional" });
  assert.ok((await open.connect(`jwt=${PUBLISHABLE_KEY}`)).welcome.resume_token);
  const closed = startAgent({ mode: "required" });
  const client = await closed.connect("", { authorization: `Bearer ${PUBLISHABLE_KEY}` });
  assert.equal(client.frames.length, 0);
  closed.clock.advance(5000);
  assert.equal(client.closed?.code, 4001);
});

Deno.test("[AU5] the first frame may say who it is", async () => {
  const { connect, verifier, clock } = startAgent({ mode: "required" });
  verifier.admit("good", "ann");
  const client = await connect();
  client.ask("too early", { id: "a" });
  assert.deepEqual([client.only("error").code, client.only("error").in_reply_to], ["unauthorized", "a"]);
  client.command("auth", { token: "good" });
  client.ask("right behind it");
  await until(() => client.of("status", "thinking").length > 0);
  assert.ok(client.welcome);
  assert.equal(client.of("status", "thinking").length, 1);
  clock.advance(10_000);
  assert.ok(client.isOpen);
});

Deno.test("[AU5] silence, or a bad first token, ends the connection", async () => {
  const { connect, clock } = startAgent({ mode: "required" });
  const silent = await connect();
  clock.advance(4999);
  assert.ok(silent.isOpen);
  clock.advance(1);
  assert.equal(silent.only("error").code, "unauthorized");
  assert.equal(silent.closed?.code, 4001);
  const wrong = await connect();
  wrong.command("auth", { token: "bad" });
  await until(() => !wrong.isOpen);
  assert.equal(wrong.closed?.code, 4001);
});

Deno.test("[AU6] auth renews the token of a live connection; a bad one changes nothing", async () => {
  const { connect, verifier, clock } = startAgent({ mode: "required" });
  verifier.admit("first", "ann", clock.now() + 120_000);
  verifier.admit("second", "ann", clock.now() + 600_000);
  const client = await connect("jwt=first");
  client.command("auth", { token: "bad" }, "r1");
  await settle();
  assert.deepEqual([client.only("error").code, client.only("error").in_reply_to], ["unauthorized", "r1"]);
  client.command("auth", { token: "second" }, "r2");
  await settle();
  assert.equal(client.only("status", "auth_ok").in_reply_to, "r2");
  clock.advance(200_000);
  assert.ok(client.isOpen);
  assert.equal(client.of("notification", "token_expiring").length, 0);
});

Deno.test("[AU7] another user's token ends the connection; a late sign-in does not", async () => {
  const { connect, verifier } = startAgent();
  verifier.admit("ann's", "ann");
  verifier.admit("bob's", "bob");
  const ann = await connect("jwt=ann's");
  ann.command("auth", { token: "bob's" }, "x");
  await settle();
  assert.deepEqual([ann.only("error").code, ann.only("error").in_reply_to], ["forbidden", "x"]);
  assert.deepEqual(ann.closed, { code: 4003, reason: "Forbidden" });
  const visitor = await connect();
  visitor.command("auth", { token: "bob's" });
  await settle();
  assert.equal(visitor.only("error").code, "forbidden");
  assert.ok(visitor.isOpen);
});

Deno.test("[AU8] an ending token is announced, then ends the connection but not the answer", async () => {
  const { connect, verifier, clock, model } = startAgent();
  const expiresAt = clock.now() + 100_000;
  verifier.admit("short", "ann", expiresAt);
  verifier.admit("fresh", "ann");
  const client = await connect("jwt=short");
  client.ask("long");
  await settle();
  clock.advance(39_999);
  assert.equal(client.of("notification", "token_expiring").length, 0);
  clock.advance(1);
  assert.deepEqual(client.only("notification", "token_expiring").data, {
    expires_at: new Date(expiresAt).toISOString(),
  });
  clock.advance(60_000);
  assert.equal(client.only("error").code, "unauthorized");
  assert.deepEqual(client.closed, { code: 4001, reason: "Token expired" });
  model.last.finish("There.");
  await settle();
  const again = await connect(`jwt=fresh&${client.resumeQuery(0)}`);
  assert.equal(again.only("response").content, "There.");
});

Deno.test("[AU9] no token is ever logged or sent back", async () => {
  const { connect, verifier, logged } = startAgent({ mode: "required" });
  verifier.admit("good-token-of-ann", "ann");
  const good = await connect("jwt=good-token-of-ann");
  good.command("auth", { token: "good-token-of-ann" });
  const bad = await connect("jwt=bad-token-of-bob");
  await settle();
  good.vanish();
  bad.vanish();
  const everything = JSON.stringify([logged, good.frames, bad.frames]);
  assert.doesNotMatch(everything, /token-of-/);
  assert.ok(logged.some(({ event }) => event === "connection_refused"));
});

Deno.test("[LM3] the worker and each user have only so many connections", async () => {
  const { connect, verifier } = startAgent({ maxConnections: 5, maxConnectionsPerUser: 2 });
  verifier.admit("ann's", "ann");
  const anns = [await connect("jwt=ann's"), await connect("jwt=ann's"), await connect("jwt=ann's")];
  const refused = anns[2];
  assert.deepEqual([refused?.only("error").code, refused?.only("error").retry_after_ms], [
    "too_many_connections",
    5000,
  ]);
  assert.deepEqual(refused?.closed, { code: 1013, reason: "Too many connections" });
  refused?.vanish();
  anns[0]?.vanish();
  assert.ok((await connect("jwt=ann's")).welcome, "a place that was left is free again");
  const visitor = await connect();
  assert.ok((await connect(visitor.resumeQuery(0))).welcome);
  assert.ok((await connect()).welcome);
  assert.equal((await connect()).closed?.code, 1013, "the worker is full");
});

Deno.test("[LM3] an anonymous session has only so many connections", async () => {
  const { connect } = startAgent({ maxConnectionsPerUser: 1 });
  const first = await connect();
  assert.equal((await connect(first.resumeQuery(0))).closed?.code, 1013);
});
