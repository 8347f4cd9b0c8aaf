/** How a worker ends: by a signal on plain Deno, and by the platform's wall clock on the local stack. */

import assert from "node:assert/strict";
import { withAgent } from "../support/agent_process.ts";
import { HandModel } from "../support/hand_model.ts";
import { eventually, type TestStack, withLocalStack } from "../support/local_stack.ts";
import { rawRequest } from "../support/raw_socket.ts";
import { type AgentClient, connect, of, terminal } from "../support/agent_client.ts";

/** The worker is retired after half of it, notified after 90 %, and killed at its end. */
const WALL_CLOCK_MS = 8000;

async function sentAway(client: AgentClient): Promise<void> {
  const notice = await client.waitFor(of("notification", "reconnecting"));
  assert.deepEqual(notice.data, { after_ms: 0 });
  assert.deepEqual(await client.end(), { code: 1012, reason: "Worker is being replaced" });
  assert.equal(client.frames.at(-1), notice);
}

Deno.test("[CL1] SIGTERM: idle connections go at once, a running answer is finished, and the process exits with 0", async () => {
  await using model = new HandModel();
  await withAgent({ plain: true, env: { OPENROUTER_BASE_URL: model.baseUrl } }, async (agent) => {
    await using idle = await connect(agent.wsUrl);
    await using busy = await connect(`${agent.wsUrl}?stream=true`);
    const running = busy.ask("a story");
    const waiting = busy.ask("another");
    const exchange = await model.next();
    exchange.say("The first half ");
    await busy.waitFor(of("delta"));

    agent.kill("SIGTERM");
    await sentAway(idle);
    assert.equal(idle.frames.length, 2);
    const interrupted = await busy.waitFor(terminal(waiting));
    assert.equal(interrupted.code, "interrupted");
    assert.equal(interrupted.retryable, true);
    assert.equal((await agent.health()).status, "draining");
    const late = busy.ask("too late");
    assert.equal((await busy.waitFor((frame) => frame.in_reply_to === late)).code, "shutting_down");
    const refused = await rawRequest(agent.port, { target: "/agent_websocket" });
    assert.equal(refused.status, 503);
    assert.equal(JSON.parse(refused.body).code, "shutting_down");
    assert.equal(refused.headers.get("retry-after"), "1");

    exchange.say("and the second");
    exchange.finish();
    const response = await busy.waitFor(terminal(running));
    assert.equal(response.content, "The first half and the second");
    await sentAway(busy);
    const { code, signal } = await agent.ended;
    assert.deepEqual({ code, signal }, { code: 0, signal: null });
    assert.equal(model.exchanges.length, 1);
  });
});

Deno.test("[CL1] SIGTERM: an answer that takes too long ends interrupted, with what was written", async () => {
  await using model = new HandModel();
  const env = { OPENROUTER_BASE_URL: model.baseUrl, DRAIN_TIMEOUT_MS: "300" };
  await withAgent({ plain: true, env }, async (agent) => {
    await using client = await connect(`${agent.wsUrl}?stream=true`);
    const id = client.ask("a story without end");
    const exchange = await model.next();
    exchange.say("And then ");
    await client.waitFor(of("delta"));
    const before = performance.now();
    agent.kill("SIGTERM");
    const interrupted = await client.waitFor(terminal(id));
    assert.equal(interrupted.code, "interrupted");
    assert.equal(interrupted.partial, "And then ");
    assert.match(interrupted.content, /^Failed to generate response: /);
    await sentAway(client);
    assert.equal((await agent.ended).code, 0);
    const tookMs = performance.now() - before;
    assert.ok(tookMs >= 300 && tookMs < 20_000, `${tookMs} ms`);
    await eventually("the end of the request to the model", () => exchange.abortedAt);
  });
});

function agentUrl({ wsUrl }: TestStack): string {
  return `${wsUrl}/functions/v1/agent_websocket`;
}

/** The state of each worker of the agent, by number. */
function states(stack: TestStack): Map<number, string> {
  const agents = stack.workers().filter((worker) => worker.function === "agent_websocket");
  return new Map(agents.map(({ worker, state }) => [worker, state]));
}

Deno.test("[CL1] [CL2] on the platform an open socket holds its retired worker to the end of its time, then moves", async () => {
  await withLocalStack({ wallClockMs: WALL_CLOCK_MS }, async (stack) => {
    await using client = await connect(agentUrl(stack));
    await eventually("the worker's retirement", () => states(stack).get(1) === "retired");
    const retiredAt = performance.now();
    // No turn runs and nothing is sent: only `waitUntil` keeps the worker alive.
    await client.waitFor(of("notification", "reconnecting"));
    assert.equal(states(stack).get(1), "retired");
    // It retires after half of its time, and gets the unload event after 90 %.
    const heldMs = performance.now() - retiredAt;
    assert.ok(heldMs > WALL_CLOCK_MS * 0.25, `held for ${heldMs} ms`);
    await sentAway(client);

    await using again = await connect(`${agentUrl(stack)}?${client.resumeQuery()}`);
    assert.deepEqual(again.welcome.resumed, {
      recovered: false,
      from_seq: 1,
      to_seq: 0,
      reason: "unknown_session",
    });
    assert.equal((await again.command("ping")).code, "pong");
    await eventually("the end of the first worker", () => !states(stack).has(1));
    assert.ok(
      !stack.workerLogs.some((line) => /#1\] (killed|crashed)/.test(line)),
      "it was killed or crashed",
    );
  });
});

Deno.test("[CL2] on the platform a turn that nobody listens to holds its retired worker, and no longer than it runs", async () => {
  await using model = new HandModel();
  const options = { wallClockMs: WALL_CLOCK_MS, model: { baseUrl: model.baseUrl } };
  await withLocalStack(options, async (stack) => {
    const client = await connect(`${agentUrl(stack)}?stream=true`);
    client.ask("a story");
    const exchange = await model.next();
    exchange.say("Once ");
    await client.waitFor(of("delta"));
    await client.close();
    await eventually("the worker's retirement", () => states(stack).get(1) === "retired", WALL_CLOCK_MS);
    // A second worker takes new connections. The first one is still running, and only the turn keeps it alive.
    await using other = await connect(agentUrl(stack));
    assert.equal((await other.command("ping")).code, "pong");
    assert.equal(states(stack).get(1), "retired");
    assert.equal(exchange.abortedAt, undefined);
    exchange.finish();
    await eventually("the end of the first worker", () => !states(stack).has(1));
    assert.ok(
      stack.workerLogs.some((line) => /#1\] ended: early_drop/.test(line)),
      "it ended before its time",
    );
    assert.ok(stack.workerLogs.some((line) => /#1\] .*"outcome":"completed"/.test(line)));
  });
});
