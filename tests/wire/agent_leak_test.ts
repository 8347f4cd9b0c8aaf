/** A thousand sessions come and go, and leave nothing behind. */

import assert from "node:assert/strict";
import { type AgentProcess, withAgent } from "../support/agent_process.ts";
import { echo, HandModel } from "../support/hand_model.ts";
import { eventually } from "../support/local_stack.ts";
import { RawSocket } from "../support/raw_socket.ts";
import { RUNTIMES } from "../support/runtimes.ts";
import { connect } from "../support/agent_client.ts";

const SESSIONS = 1000;
/** How many there are at a time. */
const AT_ONCE = 20;
/** How far the heap may be from where it was: 500 bytes a session. The rate limits remember each for a while. */
const TOLERANCE = 0.05;

/** One session: a question, its answer, and the end of the connection: closed, or cut without a word. */
async function useAndDrop({ port, wsUrl }: AgentProcess, index: number): Promise<void> {
  // Each of its own address, as anonymous sessions of one share its limit.
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

/** Has all the sessions come and go, and answers with the heap when the last of them has expired. */
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
      // 0.6 s, looked for five times a second.
      SESSION_TIMEOUT: "0.01",
      CLEANUP_INTERVAL_MS: "200",
      // As by default: what the limits remember counts too.
      RATE_LIMIT_PER_MINUTE: "60",
      // Deno 2.9.6, not 2.1.4, holds a socket that was cut until its peer's time to answer a ping is over.
      HEARTBEAT_INTERVAL_MS: "0",
    };
    await withAgent({ deno: await path(), env }, async (agent) => {
      // The first round loads and compiles what is loaded and compiled once.
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
