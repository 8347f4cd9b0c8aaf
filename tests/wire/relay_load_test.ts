/** How a worker with thousands of sessions uses Realtime. */

import assert from "node:assert/strict";
import { eventually, withLocalStack } from "../support/local_stack.ts";
import { RawSocket } from "../support/raw_socket.ts";
import { connect } from "../support/agent_client.ts";

const SESSIONS = 5000;
const AT_ONCE = 50;
const SHARDS = 8;

Deno.test("[RL1] a worker that holds 5,000 sessions uses one connection and a channel for each shard and one more", async () => {
  const env = { RATE_LIMIT_PER_MINUTE: "0", RELAY_SHARDS: String(SHARDS), MAX_SESSIONS: String(SESSIONS) };
  await withLocalStack({ env }, async (stack) => {
    const port = Number(new URL(stack.url).port);
    const welcomes: Record<string, unknown>[] = [];
    const open = async (): Promise<void> => {
      // Only the session is needed, and it outlives the connection.
      using socket = await RawSocket.open(port, { target: "/functions/v1/agent_websocket" });
      assert.equal((await socket.answer()).status, 101);
      welcomes.push(JSON.parse(new TextDecoder().decode((await socket.frame()).payload)));
    };
    while (welcomes.length < SESSIONS) await Promise.all(Array.from({ length: AT_ONCE }, open));
    const health = async (): Promise<Record<string, unknown>> =>
      await (await fetch(`${stack.url}/functions/v1/agent_websocket/health`)).json();
    await eventually("the relay", async () => (await health()).relay === "ok", 10_000);
    assert.equal((await health()).sessions, SESSIONS);
    const [connection, ...others] = stack.realtime.stats().connections;
    assert.deepEqual(others, []);
    const topics = connection?.channels.map(({ topic }) => topic.replace(/^realtime:/, "")) ?? [];
    assert.deepEqual(
      topics.sort(),
      [...Array(SHARDS).keys(), "all"].map((shard) => `agent_websocket:${shard}`).sort(),
    );
    // Each of them can receive a notification.
    const picked = [0, 1, SESSIONS / 2, SESSIONS - 1].map((index) => welcomes[index]);
    for (const welcome of picked) {
      const session_id = String(welcome?.session_id);
      const response = await fetch(`${stack.url}/functions/v1/notify_websocket`, {
        method: "POST",
        headers: { apikey: stack.keys.secretKey, "content-type": "application/json" },
        body: JSON.stringify({ session_id, message: `for ${session_id}` }),
      });
      assert.equal(response.status, 202);
      await response.body?.cancel();
      const query = new URLSearchParams({ session_id, resume_token: String(welcome?.resume_token) });
      await using client = await connect(`${stack.wsUrl}/functions/v1/agent_websocket?${query}`);
      await client.waitFor(({ content, seq }) => content === `for ${session_id}` && seq === 1);
    }
  });
});
