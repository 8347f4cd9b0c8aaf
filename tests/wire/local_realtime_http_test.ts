/** Broadcasts to the local Realtime over HTTP: what is accepted, and each refusal. */

import assert from "node:assert/strict";
import { seconds, type TestRealtime, withRealtime } from "../support/local_realtime.ts";
import { join, payloads } from "../support/supabase_clients.ts";

const JSON_TYPE = { "content-type": "application/json" };

interface Answer {
  status: number;
  /** Parsed if there is one. */
  body: unknown;
}

interface Post {
  headers?: Readonly<Record<string, string>>;
  body: BodyInit;
}

async function post(
  { url, keys }: TestRealtime,
  path: string,
  { headers = JSON_TYPE, body }: Post,
): Promise<Answer> {
  const response = await fetch(`${url}/realtime/v1/api/broadcast${path}`, {
    method: "POST",
    headers: { apikey: keys.secretKey, ...headers },
    body,
  });
  const text = await response.text();
  assert.equal(response.headers.get("access-control-allow-origin"), "*");
  return { status: response.status, body: text === "" ? undefined : JSON.parse(text) };
}

function batch(...messages: unknown[]): Post {
  return { body: JSON.stringify({ messages }) };
}

const accepted = { status: 202, body: undefined };

Deno.test("local realtime: a batch goes where each message says", async () => {
  await withRealtime({}, async (test) => {
    const { clients, keys } = test;
    const [room, hall, vault] = [
      await join(clients.client(keys.publishableKey), "room"),
      await join(clients.client(keys.publishableKey), "hall"),
      await join(clients.client(keys.secretKey), "vault", { private: true }),
    ];
    const answer = await post(
      test,
      "",
      batch(
        { topic: "room", event: "a", payload: { n: 1 } },
        { topic: "hall", event: "b", payload: { n: 2 }, private: false },
        { topic: "vault", event: "c", payload: { n: 3 }, private: true },
        { topic: "room", event: "d", payload: {}, id: "11111111-1111-4111-8111-111111111111" },
      ),
    );
    assert.deepEqual(answer, accepted);
    await Promise.all([payloads(room, 2), payloads(hall, 1), payloads(vault, 1)]);
    assert.deepEqual([room, hall, vault].map(({ received }) => received), [
      [
        { type: "broadcast", event: "a", payload: { n: 1 } },
        { type: "broadcast", event: "d", payload: {}, meta: { id: "11111111-1111-4111-8111-111111111111" } },
      ],
      [{ type: "broadcast", event: "b", payload: { n: 2 } }],
      [{ type: "broadcast", event: "c", payload: { n: 3 } }],
    ]);
  });
});

Deno.test("local realtime: who may not write to a private topic is answered 202, and nobody hears of it", async () => {
  await withRealtime({}, async (test) => {
    const { clients, keys } = test;
    const vault = await join(clients.client(keys.secretKey), "vault", { private: true });
    const stranger = { ...JSON_TYPE, apikey: keys.publishableKey };
    const message = { topic: "vault", event: "e", payload: { from: "a stranger" }, private: true };
    assert.deepEqual(await post(test, "", { ...batch(message), headers: stranger }), accepted);
    const single = { headers: stranger, body: JSON.stringify(message.payload) };
    assert.deepEqual(await post(test, "/vault/events/e?private=true", single), accepted);
    assert.deepEqual(await post(test, "/vault/events/e?private=true", { body: '{"from":"us"}' }), accepted);
    assert.deepEqual(await payloads(vault, 1), [{ from: "us" }]);
  });
});

Deno.test("local realtime: a batch with mistakes is refused, and each is named", async () => {
  await withRealtime({ limits: { payloadBytes: 100 } }, async (test) => {
    const blank = ["can't be blank"];
    const invalid = ["is invalid"];
    const good = { topic: "room", event: "a", payload: {} };
    const cases: [body: string, messages: unknown][] = [
      ["{}", blank],
      ["[]", blank],
      ['{"messages":[]}', blank],
      ['{"messages":7}', invalid],
      [JSON.stringify({ messages: [good, {}] }), [{}, { topic: blank, payload: blank, event: blank }]],
      [JSON.stringify({ messages: ["a"] }), [{ topic: blank, payload: blank, event: blank }]],
      [JSON.stringify({ messages: [{ ...good, event: "" }] }), [{ event: blank }]],
      [
        JSON.stringify({ messages: [{ topic: 1, event: [], payload: "text", private: "yes" }] }),
        [{ topic: invalid, event: invalid, payload: invalid, private: invalid }],
      ],
      [
        JSON.stringify({ messages: [{ ...good, payload: { text: "ü".repeat(50) } }] }),
        [{ payload: ["Payload size exceeds tenant limit"] }],
      ],
    ];
    for (const [body, messages] of cases) {
      assert.deepEqual(await post(test, "", { body }), { status: 422, body: { errors: { messages } } }, body);
    }
    const text = { headers: { "content-type": "text/plain" }, body: JSON.stringify({ messages: [good] }) };
    assert.deepEqual(await post(test, "", text), { status: 422, body: { errors: { messages: blank } } });
    assert.equal(test.realtime.stats().published, 0);
  });
});

Deno.test("local realtime: one message is refused for its size, its type, its JSON", async () => {
  await withRealtime({ limits: { payloadBytes: 100, bodyBytes: 1000 } }, async (test) => {
    const path = "/room/events/e";
    const tooBig = { status: 422, body: { errors: { payload: ["Payload size exceeds tenant limit"] } } };
    assert.deepEqual(await post(test, path, { body: JSON.stringify({ text: " ".repeat(100) }) }), tooBig);
    const binary = { "content-type": "application/octet-stream" };
    assert.deepEqual(await post(test, path, { headers: binary, body: new Uint8Array(101) }), tooBig);
    assert.deepEqual(await post(test, path, { headers: binary, body: new Uint8Array(100) }), accepted);
    assert.deepEqual(await post(test, path, { body: "{" }), { status: 400, body: "Bad Request" });
    assert.deepEqual(await post(test, "", { body: "{" }), { status: 400, body: "Bad Request" });
    assert.deepEqual(await post(test, "/%ff/events/e", { body: "{}" }), { status: 400, body: "Bad Request" });
    const tooLarge = { status: 413, body: "Request Entity Too Large" };
    assert.deepEqual(await post(test, path, { body: " ".repeat(1001) }), tooLarge);
    const chunked = ReadableStream.from([new TextEncoder().encode(" ".repeat(1001))]);
    assert.deepEqual(await post(test, path, { body: chunked }), tooLarge);
    const error = "Unsupported Media Type. Use application/json or application/octet-stream";
    const text = { headers: { "content-type": "text/plain" }, body: "text" };
    assert.deepEqual(await post(test, path, text), { status: 415, body: { error } });
  });
});

Deno.test("local realtime: HTTP needs a key or a token, and a token counts before a key", async () => {
  await withRealtime({}, async (test) => {
    const { keys, token, url } = test;
    const expired = await token({ exp: seconds(Date.now()) - 1 });
    const cases: [headers: Record<string, string>, status: number][] = [
      [{ apikey: "" }, 401],
      [{ apikey: "garbage" }, 401],
      [{ authorization: "Bearer garbage" }, 401],
      [{ authorization: `Bearer ${expired}` }, 401],
      [{ authorization: `Bearer ${await token({ role: null })}` }, 401],
      [{ authorization: `Bearer ${keys.publishableKey}`, apikey: "garbage" }, 202],
      [{ authorization: `bearer ${await token()}`, apikey: keys.publishableKey }, 202],
      [{ apikey: keys.anonKey }, 202],
    ];
    for (const [headers, status] of cases) {
      const answer = await post(test, "/room/events/e", {
        headers: { ...JSON_TYPE, ...headers },
        body: "{}",
      });
      const body = status === 202 ? undefined : { message: "Unauthorized" };
      assert.deepEqual(answer, { status, body }, JSON.stringify(headers));
    }
    const elsewhere = await fetch(`${url}/realtime/v1/api/broadcast`);
    assert.equal(elsewhere.status, 404);
    await elsewhere.body?.cancel();
    const preflight = await fetch(`${url}/realtime/v1/api/broadcast`, {
      method: "OPTIONS",
      headers: { origin: "http://localhost:5173", "access-control-request-headers": "apikey,content-type" },
    });
    assert.deepEqual(
      [preflight.status, preflight.headers.get("access-control-allow-headers"), await preflight.text()],
      [204, "apikey,content-type", ""],
    );
  });
});
