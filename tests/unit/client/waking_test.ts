/** A connection that is dead although it looks open: what makes the client ask for a sign of life, and how soon. */

import assert from "node:assert/strict";
import { settle } from "../../support/manual_clock.ts";
import { scriptedClient, type ScriptedSocket, type TestClient } from "../../support/scripted_sockets.ts";

/** What happens when a page returns: each of these must be enough. */
const WAKES: Readonly<Record<string, (test: TestClient) => void>> = {
  "the page is shown again": ({ wake }) => wake.become("visible"),
  "the page is no longer frozen": ({ wake }) => void wake.document.dispatchEvent(new Event("resume")),
  "the page comes from the cache": ({ wake }) => wake.fire("pageshow"),
  "the network is back": ({ wake }) => wake.fire("online"),
  "the app says so": ({ client }) => client.wake(),
};

function beat(socket: ScriptedSocket): void {
  socket.say({ type: "heartbeat", content: "heartbeat", timestamp: "" });
}

for (const [what, wakeUp] of Object.entries(WAKES)) {
  Deno.test(`[CT9] ${what}: a dead connection is replaced within 2 s, also before its first heartbeat`, async () => {
    const test = scriptedClient();
    const { client, clock, events, sockets, welcomed } = test;
    const socket = await welcomed();
    const turn = client.query("A story");
    socket.status("thinking", turn.id, { seq: 1 });
    const before = clock.now();
    wakeUp(test);
    assert.deepEqual(socket.commands, ["ping"]);
    wakeUp(test);
    assert.deepEqual(socket.commands, ["ping"], "one is enough");
    while (sockets.length === 1) {
      clock.advance(100);
      await settle(1);
    }
    assert.ok(clock.now() - before <= 2000);
    assert.deepEqual([events.reconnecting[0]?.reason, socket.closedWith], ["No sign of life", 1000]);
    client.close();
  });

  Deno.test(`[CT9] ${what}: a connection that answers stays`, async () => {
    const test = scriptedClient();
    const { client, clock, events, sockets, welcomed } = test;
    const socket = await welcomed();
    wakeUp(test);
    socket.status("pong", String(socket.sent[0]?.id));
    clock.advance(5000);
    await settle();
    assert.deepEqual([client.status, sockets.length, events.message.length], ["open", 1, 0]);
    client.close();
  });

  Deno.test(`[CT9] ${what}: a client that waits connects at once`, async () => {
    const test = scriptedClient({ jitter: 0.99 });
    const { client, clock, sockets, welcomed } = test;
    (await welcomed()).end(1006);
    const before = clock.now();
    wakeUp(test);
    await settle();
    assert.deepEqual([sockets.length, clock.now()], [2, before]);
    client.close();
  });
}

Deno.test("[CT9] a page that is hidden asks for nothing", async () => {
  const { client, wake, welcomed } = scriptedClient();
  const socket = await welcomed();
  wake.become("hidden");
  assert.deepEqual(socket.commands, []);
  client.close();
  wake.become("visible");
  assert.deepEqual(socket.commands, [], "nor does a client that is closed");
});

Deno.test("[CT9] an attempt without a welcome is replaced when the page returns, unless it is young", async () => {
  const { client, clock, sockets, wake, socket: next } = scriptedClient();
  void client.connect();
  await next();
  clock.advance(4999);
  wake.fire("pageshow");
  await settle();
  assert.equal(sockets.length, 1);
  clock.advance(1);
  wake.become("visible");
  await settle();
  assert.equal(sockets.length, 2);
  client.close();
});

Deno.test("[CT9] the machine slept: the connection is asked at the first moment after it", async () => {
  for (const [sleepMs, isHidden, pings] of [[8000, false, 1], [8000, true, 0], [-8000, false, 1]] as const) {
    const { client, clock, wake, welcomed } = scriptedClient();
    const socket = await welcomed();
    if (isHidden) wake.become("hidden");
    clock.sleep(sleepMs);
    clock.advance(1000);
    assert.equal(socket.commands.length, pings, `${sleepMs} ms, ${isHidden ? "hidden" : "visible"}`);
    client.close();
  }
});

Deno.test("[CT9] [LM8] a server that is silent is asked after 60 s, and again when heartbeats fail to come", async () => {
  const { client, clock, events, welcomed } = scriptedClient();
  const socket = await welcomed();
  clock.advance(59_999);
  assert.deepEqual(socket.commands, []);
  clock.advance(1);
  assert.deepEqual(socket.commands, ["ping"]);
  socket.status("pong", String(socket.sent[0]?.id));
  for (let at = 0; at < 3; at++) {
    clock.advance(25_000);
    beat(socket);
  }
  clock.advance(59_999);
  assert.deepEqual(socket.commands, ["ping"]);
  clock.advance(1);
  assert.deepEqual(socket.commands, ["ping", "ping"]);
  clock.advance(4999);
  assert.equal(client.status, "open");
  clock.advance(1);
  assert.equal(client.status, "reconnecting");
  assert.equal(events.reconnecting[0]?.reason, "No sign of life");
  client.close();
});

Deno.test("[CT9] a question that nothing answers: the connection is asked after 5 s, and is replaced after 10 s", async () => {
  const { client, clock, events, welcomed, socket: next } = scriptedClient();
  const socket = await welcomed();
  const turn = client.query("Are you there?");
  clock.advance(4000);
  client.query("Hello?");
  clock.advance(1000);
  assert.deepEqual(socket.commands, ["ping"]);
  clock.advance(5000);
  assert.equal(events.reconnecting[0]?.reason, "No sign of life");
  const again = await next();
  again.welcome({ resumed: { recovered: true, from_seq: 1, to_seq: 0 } });
  assert.equal(again.asked[0], turn.id);
  again.status("thinking", turn.id, { seq: 1 });
  clock.advance(10_000);
  assert.deepEqual(again.commands, [], "any frame is an answer");
  client.close();
});
