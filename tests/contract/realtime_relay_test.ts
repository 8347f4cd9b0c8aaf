/** What is particular to the relay over Supabase Realtime, with the real supabase-js and the local Realtime. */

import assert from "node:assert/strict";
import * as supabaseJs from "@supabase/supabase-js";
import { SignJWT } from "jose";
import type { Relay, RelayListener, RelayMessage } from "../../supabase/functions/_shared/ports.ts";
import { jsonLog } from "../../supabase/functions/_shared/platform/system.ts";
import {
  createRealtimeRelay,
  type RealtimeRelayOptions,
} from "../../supabase/functions/_shared/platform/realtime_relay.ts";
import {
  DEFAULT_RELAY_SHARDS,
  EVERYONE_TOPIC,
  sessionTopic,
} from "../../supabase/functions/_shared/protocol/topics.ts";
import { joined, openTestRealtime, type TestRealtime, until } from "../support/realtime_server.ts";
import { scaledClock } from "../support/scaled_clock.ts";

/** Twenty seconds pass in one. */
const clock = scaledClock(20);

interface RelayUnderTest extends AsyncDisposable {
  relay: Relay;
  /** What was logged, as the lines that an operator would see. */
  lines: string[];
  loads: number;
}

function openRelay(
  options: Pick<RealtimeRelayOptions, "supabaseUrl" | "secretKey"> & Partial<RealtimeRelayOptions>,
): RelayUnderTest {
  const lines: string[] = [];
  const log = jsonLog({ write: (line) => lines.push(line) });
  const opened = { lines, loads: 0 };
  const load = () => {
    opened.loads++;
    return Promise.resolve(supabaseJs);
  };
  const relay = createRealtimeRelay({ clock, log, load, ...options });
  return Object.assign(opened, { relay, [Symbol.asyncDispose]: () => relay.close() });
}

/** With time to answer even where many tests run at once. */
function openFor(server: TestRealtime, options: Partial<RealtimeRelayOptions> = {}): RelayUnderTest {
  const { url: supabaseUrl, keys: { secretKey } } = server;
  return openRelay({ supabaseUrl, secretKey, publishTimeoutMs: 100_000, joinTimeoutMs: 100_000, ...options });
}

function listener(): RelayListener & { heard: RelayMessage[]; counts: { gaps: number } } {
  const heard: RelayMessage[] = [];
  const counts = { gaps: 0 };
  return {
    heard,
    counts,
    onMessage: (message: RelayMessage) => void heard.push(message),
    onGap: () => void counts.gaps++,
  };
}

const message = (n: number): RelayMessage => ({ event: "e", payload: { n } });
const websockets = ({ requests }: TestRealtime): number =>
  requests.filter((request) => request === "GET /realtime/v1/websocket").length;

Deno.test("[RL1] 5,000 sessions need one connection, with a private channel for each shard and one for all", async () => {
  await using server = await openTestRealtime();
  await using tested = openFor(server);
  const { relay } = tested;
  for (let n = 0; n < 5000; n++) {
    relay.subscribe(sessionTopic(crypto.randomUUID()), listener());
    relay.subscribe(EVERYONE_TOPIC, listener());
  }
  await joined(relay);
  const [connection, ...others] = server.realtime.stats().connections;
  assert.equal(others.length, 0);
  assert.equal(connection?.channels.length, DEFAULT_RELAY_SHARDS + 1);
  assert.ok(connection.channels.every((channel) => channel.private));
  assert.deepEqual([connection.vsn, websockets(server)], ["2.0.0", 1]);
});

Deno.test("a topic is left a while after its last listener, the connection with the last topic", async () => {
  await using server = await openTestRealtime();
  await using tested = openFor(server, { lingerMs: 2000 });
  const { relay } = tested;
  const channels = (): string[] =>
    server.realtime.stats().connections.flatMap(({ channels }) => channels)
      .map(({ topic }) => topic).sort();
  const t = relay.subscribe("t", listener());
  const u = relay.subscribe("u", listener());
  await joined(relay);
  t();
  assert.deepEqual([relay.status, channels()], ["ok", ["t", "u"]]);
  await until(() => channels().length === 1);
  const again = listener();
  relay.subscribe("t", again);
  await joined(relay);
  assert.deepEqual(channels(), ["t", "u"]);
  u();
  relay.subscribe("u", listener());
  await relay.publish("t", message(1));
  await until(() => again.heard.length === 1);
  assert.equal(websockets(server), 1);
  await relay.close();
  await until(() => server.realtime.stats().connections.length === 0);
});

Deno.test("with nobody listening the connection ends, and sending needs none", async () => {
  await using server = await openTestRealtime();
  await using tested = openFor(server, { lingerMs: 1000 });
  const { relay } = tested;
  assert.equal(tested.loads, 0);
  for (let n = 0; n < 300; n++) await relay.publish(`topic ${n}`, message(n));
  assert.deepEqual([relay.status, websockets(server), server.realtime.stats().published], ["idle", 0, 300]);
  const end = relay.subscribe("t", listener());
  await joined(relay);
  end();
  await until(() => server.realtime.stats().connections.length === 0);
  relay.subscribe("t", listener());
  await joined(relay);
  assert.equal(websockets(server), 2);
});

Deno.test("a legacy service role key serves as well; a publishable key joins and sends nothing", async () => {
  await using server = await openTestRealtime();
  const { keys: { serviceRoleKey, publishableKey } } = server;
  await using legacy = openFor(server, { secretKey: serviceRoleKey });
  const heard = listener();
  legacy.relay.subscribe("t", heard);
  await joined(legacy.relay);

  await using visitor = openFor(server, { secretKey: publishableKey });
  const never = listener();
  visitor.relay.subscribe("t", never);
  await until(() => visitor.lines.length > 1);
  assert.equal(visitor.relay.status, "connecting");
  assert.match(
    visitor.lines[0] ?? "",
    /"event":"relay_lost","reason":"CHANNEL_ERROR: Unauthorized: You do not have permissions to read/,
  );
  // Realtime takes it, and drops it.
  await visitor.relay.publish("t", message(1)).catch(() => {});
  await legacy.relay.publish("t", message(2));
  await until(() => heard.heard.length > 0);
  assert.deepEqual([heard.heard, never.heard], [[message(2)], []]);

  await using stranger = openFor(server, { secretKey: "sb_secret_somebody_elses" });
  stranger.relay.subscribe("t", never);
  await assert.rejects(stranger.relay.publish("t", message(1)), {
    code: "relay_unavailable",
    message: "Cannot relay the message: Realtime did not take it",
    cause: new Error('HTTP 401: {"message":"Unauthorized"}'),
  });
  await until(() => stranger.lines.length > 0);
  for (const line of [...visitor.lines, ...stranger.lines]) {
    for (const key of [publishableKey, "somebody_elses"]) assert.ok(!line.includes(key), line);
  }
});

Deno.test("a broadcast arrives alike whether it came as text or as bytes", async () => {
  await using server = await openTestRealtime();
  await using tested = openFor(server);
  const heard = listener();
  tested.relay.subscribe("t", heard);
  await joined(tested.relay);
  const headers = { "apikey": server.keys.secretKey, "content-type": "application/json" };
  // Text, as the older of the two HTTP routes sends it.
  const sent = await fetch(`${server.url}/realtime/v1/api/broadcast`, {
    method: "POST",
    headers,
    body: JSON.stringify({ messages: [{ topic: "t", private: true, ...message(1) }] }),
  });
  assert.equal(sent.status, 202);
  await sent.body?.cancel();
  await until(() => heard.heard.length === 1);
  // Binary.
  await tested.relay.publish("t", message(2));
  await until(() => heard.heard.length === 2);
  // A public topic of the same name is another.
  const publicly = await fetch(`${server.url}/realtime/v1/api/broadcast/t/events/e`, {
    method: "POST",
    headers,
    body: JSON.stringify({ n: 3 }),
  });
  await publicly.body?.cancel();
  await tested.relay.publish("t", message(4));
  await until(() => heard.heard.length === 3);
  assert.deepEqual(heard.heard, [message(1), message(2), message(4)]);
});

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
    // The longest wait there is.
    assert.ok(clock.now() - backAt < 11_000);
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
  await using server = await openTestRealtime();
  await using tested = openFor(server);
  const heard = listener();
  tested.relay.subscribe("t", heard);
  await joined(tested.relay);
  for (let cuts = 1; cuts <= 3; cuts++) {
    server.realtime.cut();
    await until(() => tested.relay.status !== "ok");
    await joined(tested.relay);
    assert.equal(heard.counts.gaps, cuts + 1);
  }
  // Its first attempt would come after a second.
  await new Promise((resolve) => setTimeout(resolve, 1200));
  assert.deepEqual([server.realtime.stats().connections.length, websockets(server)], [1, 4]);
  await tested.relay.publish("t", message(1));
  await until(() => heard.heard.length > 0);
  assert.deepEqual(heard.heard, [message(1)]);
});

Deno.test("channels that the server closes are joined again: too many messages", async () => {
  // On the average of a minute; a message and its delivery are two.
  await using server = await openTestRealtime({ limits: { eventsPerSecond: 1.01 } });
  await using tested = openFor(server);
  const heard = listener();
  tested.relay.subscribe("t", heard);
  await joined(tested.relay);
  for (let n = 0; n < 100 && tested.lines.length < 2; n++) {
    await tested.relay.publish("t", message(n)).catch(() => {});
  }
  await until(() => tested.lines.length === 3);
  assert.match(tested.lines[1] ?? "", /"event":"relay_lost","reason":"CLOSED: Too many messages per second"/);
  await joined(tested.relay);
  assert.equal(heard.counts.gaps, 2);
  await assert.rejects(tested.relay.publish("t", message(0)), {
    cause: new Error('HTTP 429: {"message":"You have exceeded your rate limit"}'),
  });
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
  // There is no gateway here to give the next connection a new one.
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
    assert.ok(clock.now() - startedAt < 9000);
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

/** A server that lets everybody join, takes every message, and then does as told. */
function openStrangeServer(afterJoin: (socket: WebSocket) => void) {
  const sockets = new Set<WebSocket>();
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    if (request.method === "POST") return new Response(null, { status: 202 });
    const { socket, response } = Deno.upgradeWebSocket(request);
    sockets.add(socket);
    socket.onclose = () => sockets.delete(socket);
    socket.onmessage = ({ data }) => {
      const [joinRef, ref, topic, event] = JSON.parse(data);
      if (event !== "phx_join") return;
      const reply = { status: "ok", response: { postgres_changes: [] } };
      socket.send(JSON.stringify([joinRef, ref, topic, "phx_reply", reply]));
      afterJoin(socket);
    };
    return response;
  });
  return {
    supabaseUrl: `http://127.0.0.1:${server.addr.port}`,
    async [Symbol.asyncDispose](): Promise<void> {
      for (const socket of sockets) socket.close();
      await server.shutdown();
    },
  };
}

Deno.test("[RL2] a server that gives no sign of life any more is left", async () => {
  await using server = openStrangeServer(() => {});
  await using tested = openRelay({
    ...server,
    secretKey: "sb_secret_x",
    heartbeatMs: 100,
    heartbeatTimeoutMs: 1000,
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
  await using tested = openRelay({ ...server, secretKey: "sb_secret_x" });
  const heard = listener();
  tested.relay.subscribe("t", heard);
  await until(() => heard.counts.gaps === total + 1);
  const lost = tested.lines.filter((line) => line.includes("relay_lost"));
  assert.equal(lost.length, total);
  for (const line of lost) assert.match(line, /"reason":"Cannot read a frame: /);
});

Deno.test("it can be closed at any moment, and nothing is left behind", async () => {
  {
    // Not the local Realtime: it looks at the key before it opens the socket, and Deno 2.9.6 never ends one whose client
    // went away meanwhile (tried; not so on 2.1.4).
    await using server = openStrangeServer(() => {});
    for (const afterMs of [0, 1, 2, 3, 4, 5, 8, 12]) {
      const { relay } = openRelay({ ...server, secretKey: "sb_secret_x" });
      relay.subscribe("t", listener());
      const sent = relay.publish("t", message(1)).catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, afterMs));
      await Promise.all([relay.close(), sent]);
    }
  }
  for (const afterMs of [0, 2, 10, 40]) {
    const { relay } = openRelay({ supabaseUrl: "http://127.0.0.1:9", secretKey: "sb_secret_x" });
    relay.subscribe("t", listener());
    await new Promise((resolve) => setTimeout(resolve, afterMs));
    await relay.close();
  }
});

Deno.test("supabase-js is loaded by what needs it first, and not before", async () => {
  await using server = await openTestRealtime();
  await using silent = openFor(server);
  assert.deepEqual([silent.relay.status, silent.loads], ["idle", 0]);
  await assert.rejects(silent.relay.publish("t", { event: "e", payload: "no object" }));
  assert.equal(silent.loads, 0);
  await silent.relay.publish("t", message(1));
  assert.equal(silent.loads, 1);
});
