/** Broadcasts through the local Realtime, sent and received by supabase-js. */

import assert from "node:assert/strict";
import { withRealtime } from "../support/local_realtime.ts";
import { join, payloads } from "../support/supabase_clients.ts";

const bytes = Uint8Array.from([0, 1, 127, 128, 255]);

function send(payload: unknown): { type: "broadcast"; event: string; payload: unknown } {
  return { type: "broadcast", event: "e", payload };
}

Deno.test("local realtime: a broadcast reaches the others, both ways, and not its sender", async () => {
  await withRealtime({}, async ({ clients, keys }) => {
    const ada = await join(clients.client(keys.publishableKey), "room");
    const ben = await join(clients.client(keys.anonKey), "room");
    const other = await join(clients.client(keys.secretKey), "another room");
    assert.equal(await ada.channel.send(send({ from: "Ada", text: "smörgåsbord 🦀" })), "ok");
    assert.deepEqual(await payloads(ben, 1), [{ from: "Ada", text: "smörgåsbord 🦀" }]);
    assert.deepEqual(ben.received[0], { type: "broadcast", event: "e", payload: ben.received[0]?.payload });
    await ben.channel.send(send([1, [2]]));
    assert.deepEqual(await payloads(ada, 1), [[1, [2]]]);
    await other.channel.httpSend("e", { n: 1 });
    assert.deepEqual(await payloads(other, 1), [{ n: 1 }]);
    assert.deepEqual([ada.received.length, ben.received.length], [1, 1]);
  });
});

Deno.test("local realtime: with `self` the sender gets it too, with `ack` she waits for the server", async () => {
  await withRealtime({}, async ({ clients, keys, realtime }) => {
    const { channel, received } = await join(clients.client(keys.publishableKey), "room", {
      broadcast: { self: true, ack: true },
    });
    assert.equal(await channel.send(send({ n: 1 })), "ok");
    // The acknowledgement comes after the message itself.
    assert.deepEqual(received.map(({ payload }) => payload), [{ n: 1 }]);
    assert.equal(realtime.stats().published, 1);
  });
});

Deno.test("local realtime: bytes stay bytes, over the socket and over HTTP; version 1 cannot have them", async () => {
  await withRealtime({}, async ({ clients, keys }) => {
    const ada = await join(clients.client(keys.publishableKey), "room");
    const ben = await join(clients.client(keys.publishableKey), "room");
    const old = await join(clients.client(keys.publishableKey, { realtime: { vsn: "1.0.0" } }), "room");
    await ada.channel.send(send(bytes.buffer));
    await ada.channel.httpSend("e", bytes);
    await ada.channel.httpSend("e", { text: "at last" });
    const [first, second, third] = await payloads(ben, 3);
    assert.ok(first instanceof ArrayBuffer && second instanceof ArrayBuffer);
    assert.deepEqual([new Uint8Array(first), new Uint8Array(second)], [bytes, bytes]);
    assert.deepEqual(third, { text: "at last" });
    assert.deepEqual(await payloads(old, 1), [{ text: "at last" }]);
    await old.channel.send(send({ from: "version 1" }));
    assert.deepEqual((await payloads(ben, 4))[3], { from: "version 1" });
    assert.equal(old.received.length, 1);
  });
});

Deno.test("local realtime: httpSend needs no subscription, and any name will do", async () => {
  await withRealtime({}, async ({ clients, keys }) => {
    const topic = "agent_websocket:3/ü ?#%";
    const listener = await join(clients.client(keys.publishableKey), topic);
    const sender = clients.client(keys.secretKey).channel(topic);
    assert.deepEqual(await sender.httpSend("what is/this?", { n: 1 }), { success: true });
    await payloads(listener, 1);
    assert.deepEqual(listener.received, [{ type: "broadcast", event: "what is/this?", payload: { n: 1 } }]);
    // As the real server does with JSON that is not an object.
    await sender.httpSend("list", [1, 2]);
    assert.deepEqual((await payloads(listener, 2))[1], { _json: [1, 2] });
  });
});

Deno.test("local realtime: `send` without a subscription falls back on HTTP, and is delivered as text", async () => {
  await withRealtime({}, async ({ clients, keys }) => {
    const listener = await join(clients.client(keys.publishableKey), "room");
    const raised: string[] = [];
    const client = clients.client(keys.publishableKey, {
      realtime: { logger: (_, text) => raised.push(text) },
    });
    assert.equal(await client.channel("room").send(send({ n: 1 })), "ok");
    assert.deepEqual(await payloads(listener, 1), [{ n: 1 }]);
    assert.ok(raised.some((text) => text.includes("falling back to REST")));
  });
});

Deno.test("local realtime: a public and a private topic of one name are two", async () => {
  await withRealtime({}, async ({ clients, keys }) => {
    const open = await join(clients.client(keys.secretKey), "room");
    const secret = await join(clients.client(keys.secretKey), "room", { private: true });
    await clients.client(keys.secretKey).channel("room", { config: { private: true } }).httpSend(
      "e",
      "for members",
    );
    await clients.client(keys.secretKey).channel("room").httpSend("e", { for: "all" });
    assert.deepEqual(await payloads(open, 1), [{ for: "all" }]);
    assert.deepEqual(await payloads(secret, 1), [{ _json: "for members" }]);
    await secret.channel.send(send({ n: 2 }));
    await open.channel.httpSend("e", { n: 3 });
    assert.deepEqual((await payloads(open, 2))[1], { n: 3 });
  });
});
