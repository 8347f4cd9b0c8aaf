/** Realtime behind the gateway of the local stack, as functions and browsers reach it. */

import assert from "node:assert/strict";
import type { RealtimeStats } from "../../local/realtime/realtime.ts";
import { eventually, FIXTURE_FUNCTIONS, type TestStack, withLocalStack } from "../support/local_stack.ts";
import { join, payloads, SupabaseClients } from "../support/supabase_clients.ts";

const functions = FIXTURE_FUNCTIONS;
const secret = { private: true };

async function act({ url }: TestStack, action: string): Promise<void> {
  const response = await fetch(`${url}/__local/realtime`, {
    method: "POST",
    body: JSON.stringify({ action }),
  });
  assert.deepEqual([response.status, await response.json()], [200, { done: true }]);
}

async function stats({ url }: TestStack): Promise<RealtimeStats> {
  return await (await fetch(`${url}/__local/realtime`)).json();
}

Deno.test("local stack: supabase-js broadcasts through the gateway, with keys and with users' tokens", async () => {
  const realtime = { policy: () => true };
  await withLocalStack({ functions, realtime }, async (stack) => {
    await using clients = new SupabaseClients(stack.url);
    const { publishableKey, secretKey } = stack.keys;
    const tokens = [
      await stack.token(),
      await stack.token({ alg: "HS256" }),
      await stack.token({ alg: "RS256" }),
    ];
    const listeners = await Promise.all(tokens.map(async (token) => {
      const client = clients.client(publishableKey, { accessToken: () => Promise.resolve(token) });
      await client.realtime.setAuth();
      return await join(client, "room", secret);
    }));
    await clients.client(secretKey).channel("room", { config: secret }).httpSend("e", { n: 1 });
    for (const listener of listeners) assert.deepEqual(await payloads(listener, 1), [{ n: 1 }]);
    const [first, ...others] = listeners;
    const bytes = Uint8Array.from({ length: 100_000 }, (_, at) => at % 256);
    await first?.channel.send({ type: "broadcast", event: "e", payload: bytes.buffer });
    for (const listener of others) {
      const [, payload] = await payloads(listener, 2);
      assert.ok(payload instanceof ArrayBuffer);
      assert.deepEqual(new Uint8Array(payload), bytes);
    }
    assert.equal(stack.realtime.stats().connections.length, 3);
  });
});

Deno.test("local stack: the hooks cut Realtime off and let it come back", async () => {
  await withLocalStack({ functions, testHooks: true }, async (stack) => {
    await using clients = new SupabaseClients(stack.url);
    const { publishableKey, secretKey } = stack.keys;
    const listener = await join(clients.client(secretKey), "room", secret);
    const sender = clients.client(secretKey).channel("room", { config: secret });
    assert.deepEqual(await stats(stack), {
      paused: false,
      published: 0,
      refused: 0,
      closed: 0,
      connections: [{ vsn: "2.0.0", channels: [{ topic: "room", private: true }] }],
    });
    const bystander = new WebSocket(
      `${stack.wsUrl}/realtime/v1/websocket?apikey=${publishableKey}&vsn=2.0.0`,
    );
    const events: string[] = [];
    bystander.onerror = () => events.push("error");
    const closed = new Promise<CloseEvent>((resolve) => bystander.onclose = resolve);
    await new Promise((resolve) => bystander.onopen = resolve);
    await act(stack, "pause");
    await act(stack, "cut");
    const { wasClean } = await closed;
    assert.deepEqual([events, wasClean], [["error"], false]);
    await eventually("word of the cut", () => listener.statuses.length > 1);
    await eventually("no connection", async () => (await stats(stack)).connections.length === 0);
    await assert.rejects(sender.httpSend("e", { n: 1 }), /Realtime is not available/);
    await act(stack, "resume");
    await eventually("a second subscription", () => listener.statuses.at(-1) === "SUBSCRIBED");
    await sender.httpSend("e", { n: 2 });
    assert.deepEqual(await payloads(listener, 1), [{ n: 2 }]);
    assert.equal((await stats(stack)).published, 1);
    const wrong = await fetch(`${stack.url}/__local/realtime`, {
      method: "POST",
      body: '{"action":"explode"}',
    });
    assert.deepEqual([wrong.status, (await wrong.json()).code], [400, "BAD_REQUEST"]);
  });
});
