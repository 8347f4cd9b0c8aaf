/** Private topics and tokens of the local Realtime, as supabase-js sees them. */

import assert from "node:assert/strict";
import type { Policy } from "../../local/realtime/policy.ts";
import { EVERYONE_TOPIC } from "../../supabase/functions/_shared/protocol/topics.ts";
import { seconds, withRealtime } from "../support/local_realtime.ts";
import { eventually } from "../support/local_stack.ts";
import { ManualClock } from "../support/manual_clock.ts";
import { join, payloads, subscribe } from "../support/supabase_clients.ts";

const secret = { private: true, broadcast: { ack: true } };
const message = { type: "broadcast", event: "e", payload: { n: 1 } } as const;

/** Signed-in users may read `room`, and its members may write. */
const members: Policy = ({ topic, claims, action }) =>
  topic === "room" && (claims.member === true || action === "read" && claims.role === "authenticated");

Deno.test("local realtime: a private topic is for secret keys, and refuses others in the server's words", async () => {
  await withRealtime({}, async ({ clients, keys, token }) => {
    for (const key of [keys.secretKey, keys.serviceRoleKey]) {
      const { channel } = await join(clients.client(key), "room", secret);
      assert.equal(await channel.send(message), "ok");
    }
    const user = await token();
    const strangers = [
      clients.client(keys.publishableKey),
      clients.client(keys.anonKey),
      clients.client(keys.publishableKey, { accessToken: () => Promise.resolve(user) }),
    ];
    for (const stranger of strangers) {
      await stranger.realtime.setAuth();
      const { statuses } = subscribe(stranger, "room", secret);
      const [status] = await eventually("a refusal", () => statuses.length > 0 && statuses);
      assert.equal(
        status,
        "CHANNEL_ERROR: Unauthorized: You do not have permissions to read from this Channel topic: room",
      );
    }
  });
});

Deno.test("local realtime: who may only read is not told that her broadcast is dropped", async () => {
  await withRealtime({ policy: members }, async ({ clients, keys, token }) => {
    const [reads, writes] = await Promise.all([token(), token({ member: true })]);
    const client = (user: string) =>
      clients.client(keys.publishableKey, { accessToken: () => Promise.resolve(user) });
    const reader = client(reads);
    const writer = client(writes);
    await Promise.all([reader.realtime.setAuth(), writer.realtime.setAuth()]);
    const read = await join(reader, "room", secret);
    const write = await join(writer, "room", secret);
    assert.equal(await read.channel.send(message, { timeout: 20 }), "timed out");
    assert.deepEqual(await read.channel.httpSend("e", { n: 2 }), { success: true });
    assert.equal(await write.channel.send({ ...message, payload: { n: 3 } }), "ok");
    assert.deepEqual(await payloads(read, 1), [{ n: 3 }]);
    await write.channel.httpSend("e", { n: 4 });
    assert.deepEqual(await payloads(write, 1), [{ n: 4 }]);
  });
});

Deno.test("local realtime: without an awaited setAuth the first join is anonymous, and the second is not", async () => {
  await withRealtime({ policy: members }, async ({ clients, keys, token }) => {
    const user = await token();
    const client = clients.client(keys.publishableKey, {
      accessToken: () => new Promise((resolve) => setTimeout(() => resolve(user), 50)),
    });
    const { statuses } = subscribe(client, "room", secret);
    const [first, second] = await eventually("two joins", () => statuses.length > 1 && statuses);
    assert.match(first ?? "", /^CHANNEL_ERROR: Unauthorized: /);
    assert.equal(second, "SUBSCRIBED");
  });
});

Deno.test("local realtime: setAuth renews a membership in silence", async () => {
  const clock = new ManualClock();
  await withRealtime({ policy: members, clock }, async ({ clients, keys, token }) => {
    const client = clients.client(keys.publishableKey);
    await client.realtime.setAuth(await token({ exp: seconds(clock.now()) + 60 }));
    const { channel, statuses, system } = await join(client, "room", secret);
    await client.realtime.setAuth(await token({ member: true, exp: seconds(clock.now()) + 120 }));
    // Neither of these is a user's token.
    await client.realtime.setAuth(keys.publishableKey);
    client.realtime.push({
      topic: channel.topic,
      event: "access_token",
      payload: { access_token: null },
      ref: "",
    });
    assert.equal(await channel.send(message), "ok");
    clock.advance(119_999);
    assert.equal(await channel.send(message), "ok");
    assert.deepEqual([statuses, system], [["SUBSCRIBED"], []]);
    clock.advance(1);
    await eventually("the end of the token", () => statuses.includes("CLOSED"));
    assert.deepEqual(system, ["Token has expired 0 seconds ago"]);
    assert.equal(clock.pending, 0);
  });
});

Deno.test("local realtime: a token that is no good any more closes the channel, and says why", async () => {
  const clock = new ManualClock();
  await withRealtime({ policy: members, clock }, async ({ clients, keys, token, realtime }) => {
    const now = seconds(clock.now());
    const parts = (await token()).split(".");
    const cases: [token: string, words: string][] = [
      ["garbage", "The token provided is not a valid JWT"],
      [await token({ exp: now - 7 }), "Token has expired 7 seconds ago"],
      [await token({ exp: null }), "Fields `role` and `exp` are required in JWT"],
      [await token({ role: null }), "Fields `role` and `exp` are required in JWT"],
      [[...parts.slice(0, 2), "AAAA"].join("."), ":signature_error"],
      [
        [btoa(JSON.stringify({ alg: "ES256", kid: "nope" })), ...parts.slice(1)].join("."),
        'Failed to generate JWT signer for key ID (kid) "nope", check your JWT secret or JWKS configuration',
      ],
      [
        [btoa(JSON.stringify({ alg: "none" })), parts[1], ""].join("."),
        "Failed to generate JWT signer, check your JWT secret or JWKS configuration",
      ],
      [await token({ role: "other" }), "You do not have permissions to read from this Channel topic: room"],
    ];
    for (const [bad, words] of cases) {
      const client = clients.client(keys.publishableKey);
      await client.realtime.setAuth(await token());
      const { statuses, system } = await join(client, "room", secret);
      await client.realtime.setAuth(bad);
      await eventually(`the end of a channel with ${words}`, () => statuses.includes("CLOSED"));
      assert.deepEqual([statuses, system], [["SUBSCRIBED", "CLOSED"], [words]]);
    }
    assert.ok(realtime.stats().connections.every(({ channels }) => channels.length === 0));
    assert.equal(clock.pending, 0);
  });
});

Deno.test("local realtime: a join with a bad token is refused with its code and its words", async () => {
  const clock = new ManualClock();
  await withRealtime({ clock }, async ({ clients, keys, token }) => {
    const cases: [token: string, words: string][] = [
      ["garbage", "MalformedJWT: The token provided is not a valid JWT"],
      [await token({ exp: seconds(clock.now()) - 4 }), "InvalidJWTToken: Token has expired 4 seconds ago"],
      [await token({ role: null }), "InvalidJWTToken: Fields `role` and `exp` are required in JWT"],
      [`${await token()}AAAA`, "JwtSignatureError: Failed to validate JWT signature"],
      [
        [btoa(JSON.stringify({ alg: "RS256", kid: "nope" })), btoa("{}"), "AAAA"].join("."),
        'JwtSignerError: Failed to generate JWT signer for key ID (kid) "nope", check your JWT secret or JWKS configuration',
      ],
    ];
    for (const [bad, words] of cases) {
      const client = clients.client(keys.publishableKey);
      await client.realtime.setAuth(bad);
      const { statuses } = subscribe(client, "room");
      const [status] = await eventually("a refusal", () => statuses.length > 0 && statuses);
      assert.equal(status, `CHANNEL_ERROR: ${words}`);
    }
  });
});

Deno.test("local realtime: a project may have private channels only", async () => {
  await withRealtime({ privateOnly: true }, async ({ clients, keys }) => {
    const { statuses } = subscribe(clients.client(keys.secretKey), "room");
    const [status] = await eventually("a refusal", () => statuses.length > 0 && statuses);
    assert.equal(status, "CHANNEL_ERROR: PrivateOnly: This project only allows private channels");
    await join(clients.client(keys.secretKey), "room", secret);
  });
});

Deno.test("[RL5] local realtime: a project's policy that opens everything does not open the relay's topics", async () => {
  const everything: Policy = () => true;
  await withRealtime({ policy: everything }, async ({ clients, keys, token, realtime }) => {
    const user = await token();
    const strangers = [
      clients.client(keys.publishableKey),
      clients.client(keys.publishableKey, { accessToken: () => Promise.resolve(user) }),
    ];
    const worker = await join(clients.client(keys.secretKey), EVERYONE_TOPIC, secret);
    for (const stranger of strangers) {
      await stranger.realtime.setAuth();
      await join(stranger, "room", secret);
      const { statuses, channel } = subscribe(stranger, EVERYONE_TOPIC, secret);
      const [status] = await eventually("a refusal", () => statuses.length > 0 && statuses);
      assert.match(status ?? "", /^CHANNEL_ERROR: Unauthorized: .*: agent_websocket:all$/);
      // It gets a success, although the message is not delivered.
      assert.deepEqual(await channel.httpSend("e", { n: 1 }), { success: true });
    }
    assert.equal(await worker.channel.send({ ...message, payload: { n: 2 } }), "ok");
    await worker.channel.httpSend("e", { n: 3 });
    assert.deepEqual(await payloads(worker, 1), [{ n: 3 }]);
    assert.ok(realtime.stats().published < 3);
  });
  await withRealtime({ policy: everything, isRelayClosed: false }, async ({ clients, keys }) => {
    await join(clients.client(keys.publishableKey), EVERYONE_TOPIC, secret);
  });
});
