/** The relay over Supabase Realtime during outages, refusals and protocol violations. */

import assert from "node:assert/strict";
import { SignJWT } from "jose";
import { joined, openTestRealtime, type TestRealtime, until } from "../support/realtime_server.ts";
import { listener, message } from "../support/relay_listener.ts";
import { clock, openFor, openListening, openRelay, websockets } from "../support/relay_under_test.ts";
import { openStrangeServer } from "../support/strange_realtime.ts";

const OUTAGES: Readonly<
  Record<string, { begin(server: TestRealtime): unknown; end(server: TestRealtime): unknown }>
> = {
  "nobody at its port": { begin: (server) => server.goAway(), end: (server) => server.comeBack() },
  "only 503 from the gateway": {
    begin({ realtime }): void {
      realtime.pause();
      realtime.cut();
    },
    end: ({ realtime }) => realtime.resume(),
  },
};

for (const [what, { begin, end }] of Object.entries(OUTAGES)) {
  Deno.test(`Realtime is away for 10 s (${what}): no lies meanwhile, and listeners hear again after`, async () => {
    await using server = await openTestRealtime();
    await using tested = openFor(server);
    const { relay, lines } = tested;
    const [t, u] = [listener(), listener()];
    relay.subscribe("t", t);
    relay.subscribe("u", u);
    await joined(relay);

    await begin(server);
    await until(() => relay.status === "connecting");
    const awayUntil = clock.now() + 10_000;
    while (clock.now() < awayUntil) {
      await assert.rejects(relay.publish("t", message(0)), { code: "relay_unavailable", retryable: true });
      assert.equal(relay.status, "connecting");
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assert.deepEqual([t.counts.gaps, u.counts.gaps], [1, 1]);

    await end(server);
    const backAt = clock.now();
    await joined(relay);
    assert.ok(clock.now() - backAt < 60_000);
    for (const line of lines.filter((line) => line.includes("relay_lost"))) {
      assert.ok(JSON.parse(line).retryMs <= 10_000, line);
    }
    assert.deepEqual([t.counts.gaps, u.counts.gaps], [2, 2]);
    await relay.publish("t", message(1));
    await relay.publish("u", message(2));
    await until(() => t.heard.length + u.heard.length === 2);
    assert.deepEqual([t.heard, u.heard], [[message(1)], [message(2)]]);
    assert.equal(server.realtime.stats().connections.length, 1);
    assert.ok(lines.every((line) => !line.includes(server.keys.secretKey)));
  });
}

Deno.test("supabase-js never reconnects by itself: after three cuts there is one connection, and four were made", async () => {
  await using listening = await openListening();
  const { server, tested, heard } = listening;
  for (let cuts = 1; cuts <= 3; cuts++) {
    server.realtime.cut();
    await until(() => tested.relay.status !== "ok");
    await joined(tested.relay);
    assert.equal(heard.counts.gaps, cuts + 1);
  }
  // supabase-js would make its first attempt after one second.
  await new Promise((resolve) => setTimeout(resolve, 1200));
  assert.deepEqual([server.realtime.stats().connections.length, websockets(server)], [1, 4]);
  await tested.relay.publish("t", message(1));
  await until(() => heard.heard.length > 0);
  assert.deepEqual(heard.heard, [message(1)]);
});

Deno.test("channels that the server closes are joined again: too many messages", async () => {
  // A message and its delivery count as two. The average is updated every five seconds of Realtime's clock.
  await using listening = await openListening({ clock, limits: { eventsPerSecond: 1 } });
  const { server, tested, heard } = listening;
  for (let n = 0; n < 10_000 && tested.lines.length < 2; n++) {
    await tested.relay.publish("t", message(n)).catch(() => {});
  }
  await until(() => tested.lines.length === 3);
  assert.match(tested.lines[1] ?? "", /"event":"relay_lost","reason":"CLOSED: Too many messages per second"/);
  await joined(tested.relay);
  assert.equal(heard.counts.gaps, 2);
  await assert.rejects(tested.relay.publish("t", message(0)), {
    cause: new Error('HTTP 429: {"message":"You have exceeded your rate limit"}'),
  });
  // Both are reported as pressure: refusals with the rate, the closed channel without.
  const { refused } = server.realtime.stats();
  const told = tested.pressures.filter(({ isRefused }) => isRefused);
  assert.equal(told.length, refused + 1);
  assert.deepEqual(told.filter(({ rate }) => rate === undefined), [{ isRefused: true }]);
  assert.ok(told.every(({ rate }) => rate === undefined || rate.perSecond >= rate.limit));
  const taken = tested.pressures.find(({ isRefused }) => !isRefused);
  assert.deepEqual(taken, { isRefused: false, rate: { limit: 1, perSecond: 0 } });
});

Deno.test("[RL4] near the limit, messages of one moment are refused together and taken one by one", async () => {
  await using listening = await openListening({ limits: { eventsPerSecond: 2 } });
  const { server, tested, heard } = listening;
  const sent = [1, 2, 3].map((n) => tested.relay.publish("t", message(n)));
  await Promise.all(sent);
  await until(() => heard.heard.length === 3);
  assert.deepEqual(new Set(heard.heard), new Set([1, 2, 3].map(message)));
  assert.equal(server.realtime.stats().refused, 1);
  assert.deepEqual(tested.pressures.map(({ isRefused }) => isRefused), [false, false, false, false]);
});

Deno.test("channels that the server closes are joined again: a token has expired", async () => {
  await using server = await openTestRealtime();
  const secret = new TextEncoder().encode(server.keys.jwtSecret);
  const secretKey = await new SignJWT({ role: "service_role" }).setProtectedHeader({ alg: "HS256" })
    .setExpirationTime(Math.floor(Date.now() / 1000) + 2).sign(secret);
  await using tested = openFor(server, { secretKey });
  tested.relay.subscribe("t", listener());
  await joined(tested.relay);
  await until(() => tested.lines.length > 2);
  assert.match(tested.lines[1] ?? "", /"reason":"CLOSED: Token has expired/);
  // The next connection gets no new token, because there is no gateway here.
  assert.match(tested.lines[2] ?? "", /"reason":"CHANNEL_ERROR/);
  assert.equal(tested.relay.status, "connecting");
});

Deno.test("a server that says nothing at all is given up, and asked again", async () => {
  const connections: Deno.Conn[] = [];
  const silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const listening = (async () => {
    for await (const connection of silent) connections.push(connection);
  })().catch(() => {});
  {
    await using tested = openRelay({
      supabaseUrl: `http://127.0.0.1:${(silent.addr as Deno.NetAddr).port}`,
      secretKey: "sb_secret_x",
    });
    const { relay, lines } = tested;
    relay.subscribe("t", listener());
    const startedAt = clock.now();
    await assert.rejects(relay.publish("t", message(1)), {
      code: "relay_unavailable",
      cause: new Error("No answer within 5000 ms"),
    });
    assert.ok(clock.now() - startedAt < 60_000);
    await until(() => lines.length === 2);
    for (const line of lines) assert.match(line, /"reason":"No answer to a join within 10000 ms"/);
    assert.equal(relay.status, "connecting");
  }
  silent.close();
  await listening;
  for (const connection of connections) connection.close();
});

Deno.test("a refused handshake and a refused join, late as the real server is, are tried again until they pass", async () => {
  let allowed = false;
  await using server = await openTestRealtime({
    delays: { handshakeErrorMs: 100, joinErrorMs: 100 },
    limits: { connections: 1 },
    policy: () => allowed,
  });
  await using first = openFor(server);
  first.relay.subscribe("t", listener());
  await until(() => first.lines.length > 0);
  assert.match(first.lines[0] ?? "", /"reason":"CHANNEL_ERROR: Unauthorized/);
  allowed = true;
  await joined(first.relay);
  await using second = openFor(server);
  second.relay.subscribe("t", listener());
  await until(() => second.lines.length > 1);
  assert.equal(second.relay.status, "connecting");
  await first.relay.close();
  await joined(second.relay);
});

Deno.test("[RL2] a server that gives no sign of life any more is left", async () => {
  await using server = openStrangeServer(() => {});
  await using tested = openRelay({
    ...server,
    secretKey: "sb_secret_x",
    heartbeatMs: 100,
    heartbeatTimeoutMs: 1000,
    joinTimeoutMs: 100_000,
  });
  const heard = listener();
  tested.relay.subscribe("t", heard);
  await until(() => heard.counts.gaps === 3);
  const lost = tested.lines.filter((line) => line.includes("relay_lost"));
  assert.equal(lost.length, 2);
  for (const line of lost) assert.match(line, /"reason":"No sign of life within 1000 ms"/);
});

Deno.test("a frame that nobody can read ends the connection, not the worker", async () => {
  const frames: (string | Uint8Array<ArrayBuffer>)[] = [
    "no JSON",
    "7",
    "null",
    new Uint8Array([9, 1, 2, 3]),
    new Uint8Array([]),
    new Uint8Array([4, 255, 255, 255, 1]),
  ];
  const total = frames.length;
  await using server = openStrangeServer((socket) => {
    const frame = frames.shift();
    if (frame !== undefined) socket.send(frame);
  });
  await using tested = openRelay({ ...server, secretKey: "sb_secret_x", joinTimeoutMs: 100_000 });
  const heard = listener();
  tested.relay.subscribe("t", heard);
  await until(() => heard.counts.gaps === total + 1);
  const lost = tested.lines.filter((line) => line.includes("relay_lost"));
  assert.equal(lost.length, total);
  for (const line of lost) assert.match(line, /"reason":"Cannot read a frame: /);
});
