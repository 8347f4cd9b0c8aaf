/** Supabase Lite on a PostgreSQL, and the outages that can be simulated there. */

import assert from "node:assert/strict";
import { chooseDemo } from "../../local/demo.ts";
import { startLocalStack } from "../../local/stack.ts";
import { connect } from "../support/agent_client.ts";
import { freePort } from "../support/free_port.ts";
import { bareEnv, eventually, type TestStack, withLocalStack } from "../support/local_stack.ts";
import { startPostgres } from "../support/postgres_server.ts";

const migrations = new URL("../fixtures/migrations/", import.meta.url);
const functions = new URL("../fixtures/functions/", import.meta.url);

async function note(stack: TestStack, body: unknown): Promise<{ status: number; answer: unknown }> {
  const response = await fetch(`${stack.url}/rest/v1/rpc/note`, {
    method: "POST",
    headers: { apikey: stack.keys.secretKey, "content-type": "application/json" },
    body: JSON.stringify({ body }),
  });
  return { status: response.status, answer: await response.json() };
}

Deno.test("local database: on a PostgreSQL migrations and the demo are applied once, and what was written stays", async () => {
  const database = await startPostgres();
  try {
    const demo = await chooseDemo({});
    const options = { lite: true, databaseUrl: database.url, migrations, functions, demo };
    await withLocalStack(options, async (stack) => {
      assert.deepEqual(await note(stack, { a: 1 }), { status: 200, answer: { id: 1, type: "object" } });
    });
    await withLocalStack(options, async (stack) => {
      assert.deepEqual(await note(stack, [1]), { status: 200, answer: { id: 2, type: "array" } });
      const orders = await fetch(`${stack.url}/rest/v1/orders?select=id&order=id`, {
        headers: { apikey: stack.keys.publishableKey },
      });
      assert.deepEqual(await orders.json(), [{ id: 1001 }, { id: 1002 }, { id: 1003 }], "the samples, once");
    });
  } finally {
    await database.stop();
  }
});

Deno.test("local database: it can be slow, refuse, hang up and lose its answers", async () => {
  await withLocalStack({ lite: true, migrations, functions }, async (stack) => {
    await note(stack, 1);
    stack.database.disturb({ mode: "refuse", forMs: 60_000 });
    assert.equal((await note(stack, 2)).status, 503);
    stack.database.disturb({ mode: "reset", forMs: 60_000 });
    await assert.rejects(note(stack, 3));
    stack.database.disturb({ mode: "lose", forMs: 60_000 });
    await assert.rejects(note(stack, 4));
    stack.database.disturb({ mode: "slow", forMs: 60_000, delayMs: 200 });
    const before = performance.now();
    // Two writes were refused. The one whose answer was lost was stored.
    assert.deepEqual((await note(stack, 5)).answer, { id: 3, type: "number" });
    assert.ok(performance.now() - before >= 200);
    stack.database.disturb({ mode: "refuse", forMs: 0 });
    assert.equal((await note(stack, 6)).status, 200);
    stack.database.disturb({ mode: "refuse", forMs: 60_000 });
    stack.database.calm();
    assert.equal((await note(stack, 7)).status, 200);
  });
});

Deno.test("local database: a client that connects before it has started is welcomed when it has", async () => {
  const port = freePort();
  const starting = startLocalStack({
    port,
    model: { baseUrl: "http://127.0.0.1:9/api/v1" },
    env: { ...bareEnv(), AUTH_MODE: "none" },
  });
  try {
    const path = `127.0.0.1:${port}/functions/v1/agent_websocket`;
    await eventually("an answer of the function", async () => {
      const response = await fetch(`http://${path}/health`).catch(() => undefined);
      await response?.body?.cancel();
      return response?.ok;
    });
    await using client = await connect(`ws://${path}`);
    assert.equal(client.welcome.durable, true);
  } finally {
    await (await starting).stop();
  }
});
