/** Connections to the local Realtime: opened, refused, cut and reopened. */

import assert from "node:assert/strict";
import { withRealtime } from "../support/local_realtime.ts";
import { eventually } from "../support/local_stack.ts";
import { ManualClock, settle } from "../support/manual_clock.ts";
import { type RawAnswer, rawRequest } from "../support/raw_socket.ts";
import { join, payloads, subscribe } from "../support/supabase_clients.ts";

Deno.test("local realtime: a removed channel is left, and its client has one connection for all of them", async () => {
  await withRealtime({}, async ({ clients, keys, realtime }) => {
    const client = clients.client(keys.secretKey);
    const first = await join(client, "first");
    await join(client, "second", { private: true });
    assert.deepEqual(realtime.stats().connections, [{
      vsn: "2.0.0",
      channels: [{ topic: "first", private: false }, { topic: "second", private: true }],
    }]);
    assert.equal(await client.removeChannel(first.channel), "ok");
    assert.deepEqual(first.statuses, ["SUBSCRIBED", "CLOSED"]);
    // supabase-js does not wait for the server's answer.
    await eventually("one channel", () => realtime.stats().connections[0]?.channels.length === 1);
    assert.deepEqual(realtime.stats().connections[0]?.channels, [{ topic: "second", private: true }]);
    await client.realtime.disconnect();
    await eventually("the end of the connection", () => realtime.stats().connections.length === 0);
  });
});

Deno.test("local realtime: after an outage supabase-js joins again by itself", async () => {
  await withRealtime({}, async ({ clients, keys, realtime }) => {
    const listener = await join(clients.client(keys.publishableKey), "room");
    const sender = clients.client(keys.secretKey).channel("room");
    realtime.pause();
    await assert.rejects(sender.httpSend("e", { n: 1 }), /Realtime is not available/);
    // Open connections stay open until they are cut.
    assert.equal(realtime.stats().connections.length, 1);
    realtime.cut();
    await eventually("word of the cut", () => listener.statuses.length > 1);
    assert.match(listener.statuses[1] ?? "", /^CHANNEL_ERROR/);
    await eventually("no connection", () => realtime.stats().connections.length === 0);
    assert.equal(realtime.stats().paused, true);
    realtime.resume();
    await eventually("a second subscription", () => listener.statuses.at(-1) === "SUBSCRIBED");
    await sender.httpSend("e", { n: 2 });
    assert.deepEqual(await payloads(listener, 1), [{ n: 2 }]);
  });
});

Deno.test("local realtime: a handshake is refused with its status and its words", async () => {
  const clock = new ManualClock();
  await withRealtime({ clock, limits: { connections: 1 } }, async ({ port, keys, token, raw, realtime }) => {
    const open = async (query: string, headers: Record<string, string> = {}): Promise<RawAnswer> =>
      await rawRequest(port, { target: `/realtime/v1/websocket?${query}`, headers });
    const good = await token();
    const [, payload] = good.split(".");
    const unknownKey = [btoa('{"alg":"ES256","kid":"nope"}'), payload, "AAAA"].join(".");
    const cases: [query: string, status: number, error: string][] = [
      ["vsn=2.0.0", 401, "API key is missing"],
      ["apikey=sb_publishable_of_another_project", 401, "The token provided is not a valid JWT"],
      [`apikey=${await token({ exp: clock.now() / 1000 - 9 })}`, 401, "Token has expired"],
      [`apikey=${await token({ role: null })}`, 401, "Fields `role` and `exp` are required in JWT"],
      [`apikey=${good}AAAA`, 401, "Failed to validate JWT signature"],
      [
        `apikey=${unknownKey}`,
        401,
        'Failed to generate JWT signer for key ID (kid) "nope", check your JWT secret or JWKS configuration',
      ],
    ];
    for (const [query, status, error] of cases) {
      const answer = await open(query);
      assert.deepEqual([answer.status, JSON.parse(answer.body)], [status, { error }]);
    }
    const badVersion = await open(`apikey=${keys.anonKey}&vsn=9.0.0`);
    assert.deepEqual([badVersion.status, badVersion.body], [403, ""]);
    const noUpgrade = await fetch(`http://127.0.0.1:${port}/realtime/v1/websocket?apikey=${keys.anonKey}`);
    await noUpgrade.body?.cancel();
    assert.equal(noUpgrade.status, 400);
    const carriers: [query: string, headers: Record<string, string>][] = [
      [`apikey=${keys.secretKey}`, {}],
      ["", { "x-api-key": keys.anonKey }],
      ["", { apikey: good }],
      ["", { authorization: `Bearer ${keys.publishableKey}` }],
      // A header takes precedence over the query.
      ["apikey=garbage", { "x-api-key": keys.publishableKey }],
    ];
    for (const [query, headers] of carriers) {
      assert.equal((await open(query, headers)).status, 101, `${query} ${JSON.stringify(headers)}`);
      await eventually("its end", () => realtime.stats().connections.length === 0);
    }
    await using first = await raw();
    const second = await open(`apikey=${keys.anonKey}`);
    assert.deepEqual([second.status, JSON.parse(second.body)], [429, { error: "Too many connected users" }]);
    await first.silence();
  });
});

Deno.test("local realtime: a refused handshake is answered after two seconds", async () => {
  const clock = new ManualClock();
  await withRealtime({ clock, delays: {} }, async ({ port }) => {
    let answer: RawAnswer | undefined;
    const asked = rawRequest(port, { target: "/realtime/v1/websocket?vsn=2.0.0" }).then((it) => answer = it);
    await eventually("the delay", () => clock.pending > 0);
    clock.advance(1999);
    await settle();
    assert.deepEqual([answer, clock.nextDelayMs], [undefined, 1]);
    clock.advance(1);
    assert.equal((await asked).status, 401);
  });
});

Deno.test("local realtime: too many joins in a second cost the connection, and handshakes too", async () => {
  const clock = new ManualClock();
  await withRealtime({ clock, limits: { joinsPerSecond: 2 } }, async ({ raw, port, keys }) => {
    const client = await raw();
    for (const n of ["1", "2", "3"]) client.send([n, n, `realtime:${n}`, "phx_join", {}]);
    const [, , refusal] = await client.take(3);
    const reason = "ClientJoinRateLimitReached: Too many joins per second";
    assert.deepEqual(refusal, ["3", "3", "realtime:3", "phx_reply", {
      status: "error",
      response: { reason },
    }]);
    assert.equal(await client.end(), 1001);
    const target = `/realtime/v1/websocket?apikey=${keys.anonKey}`;
    const answer = await rawRequest(port, { target });
    assert.deepEqual([answer.status, JSON.parse(answer.body)], [429, { error: "Too many joins per second" }]);
    clock.advance(1000);
    await raw();
  });
});

Deno.test("local realtime: too many messages close the channel for every member", async () => {
  const clock = new ManualClock();
  // Each message counts once for its sender, and once for each member that receives it.
  await withRealtime({ clock, limits: { eventsPerSecond: 6 } }, async ({ clients, keys, url, realtime }) => {
    const rates = ["x-rate-limit", "x-rate-rolling", "x-rate-limit-remaining"];
    const post = async (): Promise<{ status: number; body: string; rates: (string | null)[] }> => {
      const response = await fetch(`${url}/realtime/v1/api/broadcast/room/events/e`, {
        method: "POST",
        headers: { apikey: keys.secretKey, "content-type": "application/json" },
        body: "{}",
      });
      const { status, headers } = response;
      return { status, body: await response.text(), rates: rates.map((name) => headers.get(name)) };
    };
    const [ada, ben, other] = [
      await join(clients.client(keys.publishableKey), "room"),
      await join(clients.client(keys.publishableKey), "room"),
      await join(clients.client(keys.publishableKey), "another room"),
    ];
    // Five seconds, plus the first tick, which is empty.
    for (let n = 1; n <= 20; n++) assert.equal((await post()).status, 202);
    await eventually("twenty messages", () => ada.received.length === 20 && ben.received.length === 20);
    clock.advance(4999);
    assert.equal((await post()).rates[1], "0");
    clock.advance(1);
    const refused = await post();
    assert.equal(refused.status, 429);
    assert.deepEqual(JSON.parse(refused.body), { message: "You have exceeded your rate limit" });
    assert.deepEqual(refused.rates, ["6", "6", "0"]);
    for (const member of [ada, ben]) {
      await eventually("the end of the channel", () => member.statuses.includes("CLOSED"));
      assert.deepEqual(member.system, ["Too many messages per second"]);
    }
    // No message was delivered to this channel.
    assert.deepEqual([other.statuses, other.system], [["SUBSCRIBED"], []]);
    assert.deepEqual([realtime.stats().refused, realtime.stats().closed], [1, 2]);
    // A message over a socket is still accepted, but it closes the channel of every member.
    await other.channel.send({ type: "broadcast", event: "e", payload: {} });
    await eventually("the end of the channel", () => other.statuses.includes("CLOSED"));
    clock.advance(5000);
    const accepted = await post();
    assert.deepEqual(accepted, { status: 202, body: "", rates: ["6", "4", "2"] });
    // What goes together must fit together; nothing of it is counted otherwise.
    const together = async (count: number): Promise<[status: number, body: string]> => {
      const messages = Array.from({ length: count }, () => ({ topic: "room", event: "e", payload: {} }));
      const response = await fetch(`${url}/realtime/v1/api/broadcast`, {
        method: "POST",
        headers: { apikey: keys.secretKey, "content-type": "application/json" },
        body: JSON.stringify({ messages }),
      });
      return [response.status, await response.text()];
    };
    const message = "Too many messages to broadcast, please reduce the batch size";
    assert.deepEqual(await together(2), [429, JSON.stringify({ message })]);
    assert.deepEqual(await together(1), [202, ""]);
    for (let n = 0; n < 69; n++) await post();
    // The average is over one minute. After a minute nothing of this is left.
    clock.advance(5000);
    assert.equal((await post()).status, 429);
    clock.advance(60_000);
    assert.equal((await post()).rates[1], "0");
  });
});

Deno.test("local realtime: overloaded, it closes every channel and refuses posts, and takes them again after", async () => {
  await withRealtime({}, async ({ clients, keys, realtime }) => {
    const ada = await join(clients.client(keys.publishableKey), "room");
    const channel = clients.client(keys.secretKey).channel("room");
    realtime.overload();
    await eventually("the end of the channel", () => ada.statuses.includes("CLOSED"));
    assert.deepEqual(ada.system, ["Too many messages per second"]);
    await assert.rejects(channel.httpSend("e", {}), /You have exceeded your rate limit/);
    realtime.relieve();
    await channel.httpSend("e", {});
  });
});

Deno.test("local realtime: what is too big is dropped, and a frame beyond measure costs the connection", async () => {
  const limits = { payloadBytes: 1000, frameBytes: 2000, joinsPerSecond: 0 };
  await withRealtime({ limits }, async ({ clients, keys, raw, realtime }) => {
    const config = { broadcast: { self: true, ack: true } };
    const listener = await join(clients.client(keys.publishableKey), "room", config);
    const send = (bytes: number, options = {}): Promise<string> =>
      listener.channel.send({ type: "broadcast", event: "e", payload: new ArrayBuffer(bytes) }, options);
    assert.equal(await send(1001, { timeout: 20 }), "timed out");
    assert.equal(await send(1000), "ok");
    assert.equal(listener.received.length, 1);
    assert.equal(realtime.stats().published, 1);
    const rude = await raw();
    rude.send(" ".repeat(2001));
    assert.equal(await rude.end(), 1009);
  });
});

Deno.test("local realtime: what waits for a connection has an end", async () => {
  const clock = new ManualClock();
  const limits = { heldBytes: 2000 };
  await withRealtime({ clock, limits, delays: {} }, async ({ raw, realtime }) => {
    const refused = ["1", "1", "realtime:", "phx_join", {}];
    const said = ["1", "2", "realtime:room", "broadcast", {
      type: "broadcast",
      event: "e",
      payload: " ".repeat(500),
    }];
    const deaf = await raw();
    deaf.send(["1", "1", "realtime:room", "phx_join", {}]);
    await deaf.take();
    deaf.send(refused);
    await eventually("the delay", () => clock.nextDelayMs === 5000);
    const speaker = await raw();
    speaker.send(["1", "1", "realtime:room", "phx_join", {}]);
    for (let n = 0; n < 4; n++) speaker.send(said);
    assert.equal(await deaf.end(), 1013);
    await speaker.take();
    await speaker.silence();
    speaker.send(refused);
    for (let n = 0; n < 4; n++) speaker.send(said);
    assert.equal(await speaker.end(), 1013);
    assert.equal(realtime.stats().connections.length, 0);
    assert.equal(clock.pending, 0);
  });
});

Deno.test("local realtime: a policy that throws costs the connection, and is heard of", async () => {
  const errors: unknown[] = [];
  const bug = new Error("a mistake in a test");
  const options = {
    onError: (error: unknown) => errors.push(error),
    policy: () => {
      throw bug;
    },
  };
  await withRealtime(options, async ({ raw }) => {
    const client = await raw();
    client.send(["1", "1", "realtime:room", "phx_join", { config: { private: true } }]);
    assert.equal(await client.end(), 1011);
    assert.deepEqual(errors, [bug]);
  });
});

Deno.test("local realtime: with a bad key supabase-js tries again and again", async () => {
  await withRealtime({}, async ({ clients, realtime }) => {
    let attempts = 0;
    const client = clients.client("sb_publishable_of_another_project", {
      realtime: { reconnectAfterMs: () => (attempts++, 1) },
    });
    const { statuses } = subscribe(client, "room");
    await eventually("five attempts", () => attempts >= 5);
    assert.deepEqual(statuses, ["CHANNEL_ERROR: channel error: transport failure"]);
    assert.equal(realtime.stats().connections.length, 0);
  });
});
