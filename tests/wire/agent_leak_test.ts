/** A thousand sessions are opened and closed, and leave nothing in memory. */

import assert from "node:assert/strict";
import { type AgentProcess, withAgent } from "../support/agent_process.ts";
import { echo, HandModel } from "../support/hand_model.ts";
import { eventually } from "../support/local_stack.ts";
import { RawSocket } from "../support/raw_socket.ts";
import { RUNTIMES } from "../support/runtimes.ts";
import { connect } from "../support/agent_client.ts";

const SESSIONS = 1000;
/** The number of sessions at a time. */
const AT_ONCE = 20;
/** Tolerance for the heap: 500 bytes per session. The rate limits remember each session for a while. */
const TOLERANCE = 0.05;

/** One session: a question, its answer, and the end of the connection, with or without a close frame. */
async function useAndDrop({ port, wsUrl }: AgentProcess, index: number): Promise<void> {
  // Each session has its own address, because the anonymous sessions of one address share a limit.
  const headers = { "x-forwarded-for": `192.0.${index >> 8}.${index & 255}` };
  if (index % 2 === 0) {
    await using client = await connect(`${wsUrl}?stream=true`, { headers });
    assert.equal((await client.answer(`question ${index}`)).content, `You said: question ${index}`);
    return;
  }
  using socket = await RawSocket.open(port, { target: "/agent_websocket?stream=true", headers });
  assert.equal((await socket.answer()).status, 101);
  await socket.sendText(JSON.stringify({ content: `question ${index}` }));
  for (;;) {
    const { type } = JSON.parse(new TextDecoder().decode((await socket.frame()).payload));
    assert.notEqual(type, "error");
    if (type === "response") return;
  }
}

/** Runs all the sessions, and returns the size of the heap after the last one has expired. */
async function round(agent: AgentProcess, model: HandModel): Promise<number> {
  let next = 0;
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    while (next < SESSIONS) await useAndDrop(agent, next++);
  }));
  assert.equal(model.exchanges.splice(0).length, SESSIONS);
  await eventually("the end of the last session", async () => {
    const { sessions, connections, running_turns: turns } = await agent.health();
    return sessions === 0 && connections === 0 && turns === 0;
  });
  return (await agent.memory()).heapUsed;
}

for (const { name, path } of RUNTIMES) {
  Deno.test(`[LM6] ${name}: 1,000 sessions that were opened, used and dropped leave the heap where it was`, async () => {
    await using model = new HandModel({ respond: echo });
    const env = {
      OPENROUTER_BASE_URL: model.baseUrl,
      // 3 s, in which a busy machine asks its question; the cleanup runs five times a second.
      SESSION_TIMEOUT: "0.05",
      CLEANUP_INTERVAL_MS: "200",
      // The default, so that the state of the rate limits is measured too.
      RATE_LIMIT_PER_MINUTE: "60",
      // Deno 2.9.6, unlike 2.1.4, keeps a socket that was cut until the peer's time to answer a ping has passed.
      HEARTBEAT_INTERVAL_MS: "0",
    };
    await withAgent({ deno: await path(), env }, async (agent) => {
      // The first round includes one-time loading and compilation.
      const before = await round(agent, model);
      const after = await round(agent, model);
      const change = after / before - 1;
      assert.ok(
        Math.abs(change) < TOLERANCE,
        `from ${before} to ${after} bytes, ${(100 * change).toFixed(1)} %`,
      );
      assert.equal(agent.log.filter(({ event }) => event === "session_expired").length, 2 * SESSIONS);
      assert.ok(!agent.log.some(({ level }) => level === "error"));
    });
  });
}
