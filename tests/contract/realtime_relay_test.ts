/** The specifics of the relay over Supabase Realtime, with the real supabase-js and the local Realtime. */

import assert from "node:assert/strict";
import {
  DEFAULT_RELAY_SHARDS,
  EVERYONE_TOPIC,
  sessionTopic,
} from "../../supabase/functions/_shared/protocol/topics.ts";
import { joined, openTestRealtime, until } from "../support/realtime_server.ts";
import { listener, message } from "../support/relay_listener.ts";
import { openFor, openListening, openRelay, websockets } from "../support/relay_under_test.ts";
import { openStrangeServer } from "../support/strange_realtime.ts";

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
  // Realtime accepts it, then drops it.
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

Deno.test("messages of one moment share a request and arrive as text, one alone arrives as bytes: alike", async () => {
  await using listening = await openListening();
  const { server, tested: { relay }, heard } = listening;
  const other = listener();
  relay.subscribe("u", other);
  await joined(relay);
  server.requests.length = 0;
  await Promise.all([relay.publish("t", message(1)), relay.publish("u", message(2))]);
  await relay.publish("t", message(3));
  assert.deepEqual(server.requests, [
    "POST /realtime/v1/api/broadcast",
    "POST /realtime/v1/api/broadcast/t/events/e",
  ]);
  // A public topic with the same name is a different topic.
  const publicly = await fetch(`${server.url}/realtime/v1/api/broadcast/t/events/e`, {
    method: "POST",
    headers: { "apikey": server.keys.secretKey, "content-type": "application/json" },
    body: JSON.stringify({ n: 4 }),
  });
  assert.equal(publicly.status, 202);
  await publicly.body?.cancel();
  await relay.publish("t", message(5));
  await until(() => heard.heard.length === 3 && other.heard.length === 1);
  assert.deepEqual([heard.heard, other.heard], [[message(1), message(3), message(5)], [message(2)]]);
});

Deno.test("it can be closed at any moment, and nothing is left behind", async () => {
  {
    // Not the local Realtime: it checks the key before it opens the socket, and Deno 2.9.6 never ends a socket whose
    // client disconnected in the meantime (tried; 2.1.4 does end it).
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

Deno.test("supabase-js is loaded for the first topic, not for a message", async () => {
  await using server = await openTestRealtime();
  await using tested = openFor(server);
  await tested.relay.publish("t", message(1));
  assert.equal(tested.loads, 0);
  tested.relay.subscribe("t", listener());
  await joined(tested.relay);
  assert.equal(tested.loads, 1);
});
