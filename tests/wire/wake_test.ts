/** A decision over HTTP about a session that no client and no worker has open. */

import assert from "node:assert/strict";
import { connect, of } from "../support/agent_client.ts";
import { HandModel } from "../support/hand_model.ts";
import { type TestStack, withLocalStack } from "../support/local_stack.ts";

const AGENT = new URL("../fixtures/agents/approved.ts", import.meta.url);

function post(
  { url, keys }: TestStack,
  path: string,
  body: unknown,
  key = keys.secretKey,
): Promise<Response> {
  return fetch(`${url}/functions/v1/${path}`, {
    method: "POST",
    headers: { apikey: key, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
}

async function statusOf(response: Promise<Response>): Promise<number> {
  const { status, body } = await response;
  await body?.cancel();
  return status;
}

Deno.test("[TL15] [OP5] a turn goes on after a decision over HTTP, though its clients and its worker are gone", async () => {
  await using model = new HandModel();
  await withLocalStack({ lite: true, agentFile: AGENT, model: { baseUrl: model.baseUrl } }, async (stack) => {
    const agent = `${stack.url.replace("http", "ws")}/functions/v1/agent_websocket`;
    await using client = await connect(`${agent}?tools=true`);
    client.ask("Send the report");
    const first = await model.next();
    first.call([{ id: "call_1", name: "send_report", arguments: "{}" }]);
    first.finish("tool_calls");
    const { approval_id } = await client.waitFor(of("approval_requested"));
    const { session_id } = client.welcome;
    assert.ok(stack.disturb("agent_websocket", "kill"));
    await client.end();

    const decision = { session_id, approval_id, verdict: "approve" };
    assert.equal(await statusOf(post(stack, "notify_websocket/approvals", decision)), 200);
    const second = await model.next();
    assert.equal(second.messages.at(-1)?.role, "tool");
    assert.match(String(second.messages.at(-1)?.content), /sent/);
    second.say("It is sent.");
    second.finish();

    await using later = await connect(`${agent}?tools=true&${client.resumeQuery()}`);
    assert.equal((await later.waitFor(of("response"))).content, "It is sent.");
    assert.ok(!stack.workerLogs.some((line) => line.includes("wake_failed")));
  });
});

Deno.test("[OP5] an answer goes on at the next worker when its own is replaced, though nobody is connected", async () => {
  await using model = new HandModel();
  const env = { DRAIN_TIMEOUT_MS: "200", CONTINUE_POLICY: "restart" };
  await withLocalStack({ lite: true, model: { baseUrl: model.baseUrl }, env }, async (stack) => {
    const agent = `${stack.url.replace("http", "ws")}/functions/v1/agent_websocket`;
    await using client = await connect(`${agent}?stream=true`);
    client.ask("A story");
    const first = await model.next();
    first.say("Once ");
    await client.waitFor(of("delta"));
    // At the same moment: the worker may learn that it is being replaced before it learns that the client has left.
    client.socket.close();
    assert.ok(stack.disturb("agent_websocket", "beforeunload"));
    await client.end();
    const second = await model.next();
    second.say("Once upon a time.");
    second.finish();
    await using later = await connect(`${agent}?${client.resumeQuery()}`);
    assert.equal((await later.waitFor(of("response"))).content, "Once upon a time.");
  });
});

Deno.test("[OP5] only a secret key wakes a session, and only one that is there", async () => {
  await withLocalStack({ lite: true, agentFile: AGENT }, async (stack) => {
    const { url, keys } = stack;
    await using client = await connect(`${url.replace("http", "ws")}/functions/v1/agent_websocket`);
    const wake = (id: unknown, key?: string): Promise<number> =>
      statusOf(post(stack, `agent_websocket/sessions/${id}/wake`, {}, key));
    assert.equal(await wake(client.welcome.session_id, keys.publishableKey), 401);
    assert.equal(await wake(crypto.randomUUID()), 404);
    assert.equal(await wake(client.welcome.session_id), 202);
  });
});
