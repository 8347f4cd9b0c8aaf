import assert from "node:assert/strict";
import { AgentClient } from "../../../client/client.ts";
import { reactionTo } from "../../../client/reconnecting.ts";
import { CLOSE } from "../../../supabase/functions/_shared/protocol/close_codes.ts";
import { settle } from "../../support/manual_clock.ts";
import { scriptedClient, type TestClient } from "../../support/scripted_sockets.ts";

const WHOLE = { recovered: true, from_seq: 1, to_seq: 0 };

/** Advances the clock to the next timer, and lets the resulting work finish. */
async function tick({ clock }: TestClient): Promise<void> {
  clock.advance(clock.nextDelayMs ?? 0);
  await settle(1);
}

for (const code of [1008, 1009, 4003, 4009]) {
  Deno.test(`[CT6] ${code} stops it: nothing more is tried, whatever wakes it`, async () => {
    const test = scriptedClient({ getToken: () => "token" });
    const { client, clock, sockets, events, wake, welcomed } = test;
    const socket = await welcomed();
    const turn = client.query("Hello");
    socket.status("thinking", turn.id, { seq: 1 });
    socket.end(code, "why");
    await assert.rejects(turn.final, { code: "closed" });
    assert.deepEqual(events.close, [{ code, reason: "why", unsent: [] }]);
    assert.equal(client.status, "closed");
    assert.equal(clock.pending, 0);
    wake.dispatchEvent(new Event("online"));
    await settle();
    assert.equal(sockets.length, 1);
    assert.equal(events.reconnecting.length, 0);
  });
}

Deno.test("[CT6] every code that the server closes with has its reaction", () => {
  const reactions = Object.values(CLOSE).map((closing) => [closing.code, reactionTo(closing, true)]);
  assert.deepEqual(Object.fromEntries(reactions), {
    1000: "idle",
    1008: "stop",
    1009: "stop",
    1012: "at_once",
    1013: "later",
    3008: "at_once",
    4001: "new_token",
    4003: "stop",
    4009: "stop",
  });
  assert.equal(reactionTo({ code: 1001, reason: "" }), "at_once");
  assert.equal(reactionTo({ code: 1006, reason: "" }), "soon");
});

for (const code of [1000, 1001, 1012, 3008]) {
  Deno.test(`[CT6] ${code}: connects again at once, and not so fast if that comes to nothing`, async () => {
    const test = scriptedClient({ jitter: 0.5 });
    const { events, welcomed, socket: next } = test;
    (await welcomed()).end(code);
    assert.equal(events.reconnecting[0]?.delayMs, 0);
    const second = await next();
    second.welcome({ resumed: WHOLE });
    second.end(code);
    assert.equal(events.reconnecting[1]?.delayMs, 100);
    assert.equal(events.reconnecting[1]?.attempt, 2);
    (await next()).welcome({ resumed: WHOLE });
    test.clock.advance(5000);
    test.sockets.at(-1)?.end(code);
    assert.equal(events.reconnecting[2]?.delayMs, 0, "it lasted: what was before no longer counts");
  });
}

Deno.test("[CT6] [LM3] 1013: comes back when the error before it says, later by up to a half; not sooner for any event", async () => {
  const test = scriptedClient({ jitter: 0.5 });
  const { client, clock, events, wake, sockets, socket: next } = test;
  void client.connect();
  const socket = await next();
  socket.error("too_many_connections", { retryable: true, retry_after_ms: 8000 });
  socket.end(1013);
  assert.equal(events.reconnecting[0]?.delayMs, 10_000);
  assert.equal(events.error[0]?.code, "too_many_connections");
  wake.dispatchEvent(new Event("online"));
  clock.advance(9999);
  await settle();
  assert.equal(sockets.length, 1);
  (await next()).end(1013);
  assert.equal(events.reconnecting[1]?.delayMs, 6250, "5 s where nothing is said");
});

Deno.test("[CT7] waits at random up to 100 ms, 200 ms … 5 s, and begins again after an answer", async () => {
  const test = scriptedClient({ jitter: 1 });
  const { client, events, socket: next } = test;
  void client.connect();
  for (let attempt = 0; attempt < 8; attempt++) (await next()).end(1006);
  assert.deepEqual(events.reconnecting.map(({ delayMs }) => delayMs), [
    100,
    200,
    400,
    800,
    1600,
    3200,
    5000,
    5000,
  ]);
  const socket = await next();
  socket.welcome();
  const turn = client.query("Hello");
  socket.response(turn.id, 1, "Hi");
  socket.end(1006);
  assert.equal(events.reconnecting.at(-1)?.delayMs, 100);
});

for (const jitter of [0, 0.01, 0.5, 0.99]) {
  Deno.test(`[CT7] a server that refuses for a minute sees fewer than 40 attempts (jitter ${jitter})`, async () => {
    const test = scriptedClient({ jitter });
    const { client, clock, sockets, wake } = test;
    const end = clock.now() + 60_000;
    void client.connect();
    let ended = 0;
    while (clock.now() < end) {
      for (; ended < sockets.length; ended++) sockets[ended]?.end([1006, 1012, 1001][ended % 3] ?? 1006);
      // The network is lost and comes back again and again.
      wake.dispatchEvent(new Event("online"));
      await settle(1);
      if (ended === sockets.length) await tick(test);
    }
    assert.ok(sockets.length < 40, `${sockets.length} attempts`);
    assert.ok(sockets.length > 10, `${sockets.length} attempts`);
    client.close();
    assert.equal(clock.pending, 0);
  });
}

Deno.test("[CT7] a connection without a welcome within 15 s came to nothing", async () => {
  const { client, clock, events, socket: next } = scriptedClient();
  void client.connect();
  const socket = await next();
  clock.advance(14_999);
  assert.equal(events.reconnecting.length, 0);
  clock.advance(1);
  assert.equal(events.reconnecting[0]?.reason, "No welcome");
  assert.equal(socket.closedWith, 1000);
  client.close();
});

Deno.test("without a WebSocket the error says what to install", () => {
  const kept = globalThis.WebSocket;
  Reflect.set(globalThis, "WebSocket", undefined);
  try {
    assert.throws(() => new AgentClient("ws://localhost/agent_websocket"), /install `ws`/);
  } finally {
    Reflect.set(globalThis, "WebSocket", kept);
  }
});
