/** The frames that a real server sent and received, with a raw client for what supabase-js hides or cannot send. */

import assert from "node:assert/strict";
import { type TestRealtime, withRealtime } from "../support/local_realtime.ts";
import { eventually } from "../support/local_stack.ts";
import { ManualClock } from "../support/manual_clock.ts";

const topic = "realtime:pub1";
const ok = { status: "ok", response: {} };
const joined = { status: "ok", response: { postgres_changes: [] } };
const selfAck = { config: { broadcast: { self: true, ack: true }, private: false } };

function ascii(text: string): number[] {
  return [...new TextEncoder().encode(text)];
}

Deno.test("local realtime: joins, broadcasts and leaves in version 2", async () => {
  await withRealtime({}, async ({ raw, keys }) => {
    const client = await raw();
    const config = {
      broadcast: { self: true, ack: true },
      presence: { key: "", enabled: false },
      postgres_changes: [],
      private: false,
    };
    client.send(["1", "1", topic, "phx_join", { config, access_token: keys.anonKey }]);
    client.send([null, "1", "phoenix", "heartbeat", {}]);
    client.send(["1", "2", topic, "broadcast", { type: "broadcast", event: "x", payload: {} }]);
    client.send(["1", "9", topic, "phx_leave", {}]);
    assert.deepEqual(await client.take(6), [
      ["1", "1", topic, "phx_reply", joined],
      [null, "1", "phoenix", "phx_reply", ok],
      [null, null, topic, "broadcast", { event: "x", payload: {}, type: "broadcast" }],
      ["1", "2", topic, "phx_reply", ok],
      ["1", "9", topic, "phx_reply", ok],
      ["1", "1", topic, "phx_close", {}],
    ]);
  });
});

Deno.test("local realtime: broadcasts as bytes: kind 3 in, kind 4 out", async () => {
  await withRealtime({}, async ({ raw }) => {
    const client = await raw();
    client.send(["6", "6", topic, "phx_join", selfAck]);
    await client.take();
    const push = [3, 1, 1, 13, 2, 0, 1, ...ascii("67realtime:pub1e1"), ...ascii('{"a":1}')];
    client.send(Uint8Array.from(push));
    assert.deepEqual(await client.take(2), [
      [4, 13, 2, 0, 1, ...ascii("realtime:pub1e1"), ...ascii('{"a":1}')],
      ["6", "7", topic, "phx_reply", ok],
    ]);
    const withMetadata = [3, 0, 0, 13, 2, 2, 0, ...ascii("realtime:pub1e1"), ...ascii("{}"), 0, 255];
    client.send(Uint8Array.from(withMetadata));
    assert.deepEqual(await client.take(2), [
      [4, 13, 2, 0, 0, ...ascii("realtime:pub1e1"), 0, 255],
      ["6", "", topic, "phx_reply", ok],
    ]);
    for (const broken of [[], [3], push.slice(0, 12), [0, ...push.slice(1)], [4, ...push.slice(1)]]) {
      client.send(Uint8Array.from(broken));
      await client.silence();
    }
  });
});

Deno.test("local realtime: joins, broadcasts and leaves in version 1", async () => {
  await withRealtime({}, async ({ raw }) => {
    const [old, young] = await Promise.all([raw({ vsn: "1.0.0" }), raw()]);
    young.send(["1", "1", topic, "phx_join", {}]);
    await young.take();
    old.send({ topic, event: "phx_join", ref: "1", join_ref: "1", payload: selfAck });
    old.send({ topic: "phoenix", event: "heartbeat", ref: "2", payload: {} });
    old.send({
      topic,
      event: "broadcast",
      ref: "3",
      payload: { type: "broadcast", event: "x", payload: [] },
    });
    assert.deepEqual(await old.take(4), [
      { ref: "1", event: "phx_reply", topic, payload: joined },
      { ref: "2", event: "phx_reply", topic: "phoenix", payload: ok },
      { ref: null, event: "broadcast", topic, payload: { type: "broadcast", event: "x", payload: [] } },
      { ref: "3", event: "phx_reply", topic, payload: ok },
    ]);
    assert.deepEqual(await young.take(), [
      [null, null, topic, "broadcast", { type: "broadcast", event: "x", payload: [] }],
    ]);
    young.send(Uint8Array.from([3, 0, 0, 13, 1, 0, 1, ...ascii("realtime:pub1e[1]")]));
    young.send(Uint8Array.from([3, 0, 0, 13, 1, 0, 1, ...ascii("realtime:pub1eno JSON")]));
    young.send(Uint8Array.from([3, 0, 0, 13, 1, 0, 0, ...ascii("realtime:pub1e"), 255]));
    await young.silence();
    old.send({ topic, event: "phx_leave", ref: "4", join_ref: "1", payload: {} });
    assert.deepEqual(await old.take(3), [
      { ref: null, event: "broadcast", topic, payload: { type: "broadcast", event: "e", payload: [1] } },
      { ref: "4", event: "phx_reply", topic, payload: ok },
      { ref: "1", event: "phx_close", topic, payload: {} },
    ]);
  });
});

Deno.test("local realtime: a second join ends the first membership, whose end is told last", async () => {
  await withRealtime({}, async ({ raw, realtime }) => {
    const client = await raw();
    client.send(["1", "1", topic, "phx_join", {}]);
    client.send(["4", "4", topic, "phx_join", selfAck]);
    // A leave with the first join's reference comes too late.
    client.send(["1", "5", topic, "phx_leave", {}]);
    client.send(["4", "6", topic, "broadcast", { type: "broadcast", event: "x", payload: 1 }]);
    assert.deepEqual(await client.take(5), [
      ["1", "1", topic, "phx_reply", joined],
      ["4", "4", topic, "phx_reply", joined],
      ["1", "1", topic, "phx_close", {}],
      [null, null, topic, "broadcast", { type: "broadcast", event: "x", payload: 1 }],
      ["4", "6", topic, "phx_reply", ok],
    ]);
    client.send(["7", "7", topic, "phx_join", { config: { private: true } }]);
    const [refusal, close] = await client.take(2);
    assert.match(JSON.stringify(refusal), /^\["7","7","realtime:pub1","phx_reply",\{"status":"error"/);
    assert.deepEqual(close, ["4", "4", topic, "phx_close", {}]);
    assert.deepEqual(realtime.stats().connections, [{ vsn: "2.0.0", channels: [] }]);
  });
});

Deno.test("local realtime: what it does not know it does not answer; what has no channel it does", async () => {
  await withRealtime({}, async ({ raw }) => {
    const client = await raw();
    client.send(["1", "1", topic, "phx_join", selfAck]);
    await client.take();
    const unheard = [
      ["1", "2", topic, "what", {}],
      ["1", "2", topic, "broadcast", { event: "x", payload: {} }],
      ["1", "2", topic, "broadcast", { type: "broadcast", event: "x" }],
      ["1", "2", topic, "access_token", { access_token: 1 }],
      ["1", "2", topic],
      { topic },
      "no JSON",
    ];
    for (const frame of unheard) {
      client.send(frame);
      await client.silence();
    }
    const unmatched = { status: "error", response: { reason: "unmatched topic" } };
    client.send(["1", "2", "realtime:other", "broadcast", { type: "broadcast", event: "x", payload: {} }]);
    client.send(["1", "3", "room", "phx_join", {}]);
    client.send(["1", "4", "realtime:other", "phx_leave", {}]);
    assert.deepEqual(await client.take(3), [
      [null, "2", "realtime:other", "phx_reply", unmatched],
      [null, "3", "room", "phx_reply", unmatched],
      ["1", "4", "realtime:other", "phx_reply", ok],
    ]);
  });
});

Deno.test("local realtime: of presence there is an empty beginning, and a refusal", async () => {
  await withRealtime({}, async ({ raw }) => {
    const client = await raw();
    client.send(["8", "8", topic, "phx_join", { config: { presence: { key: "k1", enabled: true } } }]);
    client.send(["8", "9", topic, "presence", { type: "presence", event: "track", payload: {} }]);
    assert.deepEqual(await client.take(3), [
      ["8", "8", topic, "phx_reply", joined],
      ["8", null, topic, "presence_state", {}],
      ["8", "9", topic, "phx_reply", {
        status: "error",
        response: { reason: "Presence is not part of the local stack" },
      }],
    ]);
  });
});

async function reasonOf({ raw }: TestRealtime, frame: unknown): Promise<unknown> {
  const client = await raw();
  client.send(frame);
  return (await client.take())[0];
}

Deno.test("local realtime: a topic needs a name, and a connection has at most 100 channels", async () => {
  await withRealtime({ limits: { joinsPerSecond: 0 } }, async (test) => {
    assert.deepEqual(await reasonOf(test, ["1", "1", "realtime:", "phx_join", {}]), [
      "1",
      "1",
      "realtime:",
      "phx_reply",
      { status: "error", response: { reason: "TopicNameRequired: You must provide a topic name" } },
    ]);
    const client = await test.raw();
    const ask = (n: number): void => client.send([`${n}`, `${n}`, `realtime:${n}`, "phx_join", {}]);
    for (let n = 1; n <= 101; n++) ask(n);
    const answers = await client.take(101);
    assert.deepEqual(answers[99], ["100", "100", "realtime:100", "phx_reply", joined]);
    const reason = "ChannelRateLimitReached: Too many channels";
    assert.deepEqual(answers[100], [
      "101",
      "101",
      "realtime:101",
      "phx_reply",
      { status: "error", response: { reason } },
    ]);
    // A topic that is joined already may be joined again, and leaving one makes room for another.
    ask(7);
    client.send(["8", "8", "realtime:8", "phx_leave", {}]);
    ask(101);
    assert.deepEqual((await client.take(5))[4], ["101", "101", "realtime:101", "phx_reply", joined]);
  });
});

Deno.test("local realtime: a refused join holds the whole connection up for five seconds, and no other one", async () => {
  const clock = new ManualClock();
  await withRealtime({ clock, delays: {} }, async ({ raw }) => {
    const [client, other] = await Promise.all([raw(), raw()]);
    for (const each of [client, other]) {
      each.send(["1", "1", topic, "phx_join", {}]);
      await each.take();
    }
    client.send(["2", "2", "realtime:secret", "phx_join", { config: { private: true } }]);
    client.send([null, "3", "phoenix", "heartbeat", {}]);
    await eventually("the delay", () => clock.nextDelayMs === 5000);
    other.send(["1", "4", topic, "broadcast", { type: "broadcast", event: "x", payload: 1 }]);
    await other.silence();
    clock.advance(4999);
    await other.silence();
    assert.deepEqual(client.frames, []);
    clock.advance(1);
    const reason = "Unauthorized: You do not have permissions to read from this Channel topic: secret";
    assert.deepEqual(await client.take(3), [
      ["2", "2", "realtime:secret", "phx_reply", { status: "error", response: { reason } }],
      [null, null, topic, "broadcast", { type: "broadcast", event: "x", payload: 1 }],
      [null, "3", "phoenix", "phx_reply", ok],
    ]);
    // A connection that closes during the delay leaves nothing behind.
    client.send(["2", "2", "realtime:secret", "phx_join", { config: { private: true } }]);
    await eventually("the delay", () => clock.nextDelayMs === 5000);
    await client.close();
    await other.close();
    await eventually("the end of its timers", () => clock.pending === 0);
  });
});
