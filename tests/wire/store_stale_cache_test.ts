/**
 * A worker whose first database probes reach a REST API with a stale schema cache, which does not know our functions
 * yet.
 */

import assert from "node:assert/strict";
import { type AgentProcess, withAgent } from "../support/agent_process.ts";
import { AgentClient, connect } from "../support/agent_client.ts";
import { startPostgresStore, type StoreServer } from "../support/store_server.ts";

let server: StoreServer;
Deno.test.beforeAll(async () => {
  server = await startPostgresStore();
});
Deno.test.afterAll(async () => await server[Symbol.asyncDispose]());

const json = (status: number, body: unknown): Response => Response.json(body, { status });
const stale = (): Response =>
  json(404, { code: "PGRST202", message: "Could not find the function", details: null, hint: null });

/** The proxy's answers to the first probes of the store. Later probes pass through. */
const ANSWERS: Readonly<Record<string, readonly (() => Response)[]>> = {
  "PGRST202, once": [stale],
  "PGRST202, twice": [stale, stale],
  "PGRST202, three times": [stale, stale, stale],
  "a 404 of another code": [() => json(404, { code: "PGRST125", message: "Invalid path" })],
  "a page of HTML": [
    () =>
      new Response("<html>404 Not Found</html>", { status: 404, headers: { "content-type": "text/html" } }),
  ],
  "the schema cache being loaded": [() => json(503, { code: "PGRST002", message: "retrying" })],
  "something else that answers 200": [() => new Response("<html>Welcome</html>")],
};

async function withProxy(
  answers: readonly (() => Response)[],
  body: (agent: AgentProcess) => Promise<void>,
): Promise<void> {
  const left = [...answers];
  const proxy = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    const { pathname, search } = new URL(request.url);
    const answer = pathname.endsWith("/agent_store_version") ? left.shift() : undefined;
    if (answer !== undefined) return answer();
    const { method, headers } = request;
    return await fetch(`${server.url}${pathname}${search}`, { method, headers, body: await request.text() });
  });
  const env = {
    SUPABASE_URL: `http://127.0.0.1:${proxy.addr.port}`,
    SUPABASE_SECRET_KEYS: JSON.stringify({ default: server.secretKey }),
    RELAY: "off",
  };
  try {
    await withAgent({ env }, body);
    assert.deepEqual(left, []);
  } finally {
    await proxy.shutdown();
  }
}

/** Connects as a client does: it retries when the refusal is retryable. */
async function resume(url: string): Promise<AgentClient> {
  for (let attempt = 0;; attempt++) {
    const client = new AgentClient(url);
    const frame = await client.waitFor(() => true);
    if (frame.code === "connected") return client;
    assert.deepEqual([frame.code, frame.retryable], ["store_unavailable", true]);
    assert.equal((await client.end()).code, 1013);
    assert.ok(attempt < 5);
  }
}

Deno.test("[DU7] [RS3] a session that the database has is resumed by a worker whose first looks met a stale schema cache", async () => {
  let query = "";
  await withProxy([], async (agent) => {
    await using client = await connect(agent.wsUrl);
    assert.equal(client.welcome.durable, true);
    query = client.resumeQuery();
  });
  for (const [name, answers] of Object.entries(ANSWERS)) {
    await withProxy(answers, async (agent) => {
      await using client = await resume(`${agent.wsUrl}?${query}`);
      assert.deepEqual([client.welcome.durable, client.welcome.resumed], [true, {
        recovered: true,
        from_seq: 1,
        to_seq: 0,
      }], name);
      await using fresh = await connect(agent.wsUrl);
      assert.equal(fresh.welcome.durable, true, name);
    });
  }
});

Deno.test("[DU7] [HS3] a worker that went into memory is durable again for what is new; what it has in memory stays there", async () => {
  await withProxy([stale, stale], async (agent) => {
    await using first = await connect(agent.wsUrl);
    assert.equal(first.welcome.durable, false);
    await using known = await resume(`${agent.wsUrl}?session_id=${crypto.randomUUID()}&last_seq=0`);
    assert.equal(known.welcome.durable, true);
    // Its status says so, and so does the welcome when it is resumed.
    const status = await first.command("status");
    assert.equal((status.data as { durable: boolean }).durable, false);
    await using again = await connect(`${agent.wsUrl}?${first.resumeQuery()}`);
    assert.deepEqual([again.welcome.durable, again.welcome.session_id], [false, first.welcome.session_id]);
    assert.equal((await again.command("delete")).code, "deleted");
  });
});
