/** An attacker who can write to the relay's topics but has no secret key, on the whole local stack. */

import assert from "node:assert/strict";
import { EVERYONE_TOPIC, sessionTopic } from "../../supabase/functions/_shared/protocol/topics.ts";
import { connect } from "../support/agent_client.ts";
import { eventually, withLocalStack } from "../support/local_stack.ts";
import { SupabaseClients } from "../support/supabase_clients.ts";

Deno.test("[RL6] forged notifications, ends and texts are dropped and counted; the real one that follows is shown", async () => {
  // A project without our policies, whose own policy allows everything.
  const realtime = { policy: () => true, isRelayClosed: false, limits: { eventsPerSecond: 0 } };
  await withLocalStack({ realtime }, async (stack) => {
    const { publishableKey, secretKey } = stack.keys;
    const functions = `${stack.url}/functions/v1`;
    await using client = await connect(`${stack.wsUrl}/functions/v1/agent_websocket`);
    const sessionId = String(client.welcome.session_id);
    await eventually("the relay", async () => {
      return (await (await fetch(`${functions}/agent_websocket/health`)).json()).relay === "ok";
    });

    await using clients = new SupabaseClients(stack.url);
    const eve = clients.client(publishableKey);
    const say = async (topic: string, event: string, payload: Record<string, unknown>): Promise<void> => {
      const channel = eve.channel(topic, { config: { private: true } });
      assert.deepEqual(await channel.httpSend(event, payload), { success: true });
    };
    const notification = {
      kind: "notification",
      notificationId: "n",
      type: "notification",
      content: "forged",
    };
    const call = (call: Record<string, unknown>): Record<string, unknown> => ({
      from: "eve",
      sessionId,
      call,
    });
    await say(EVERYONE_TOPIC, "notification", { target: { kind: "broadcast" }, notification });
    const topic = sessionTopic(sessionId);
    await say(topic, "notification", { target: { kind: "session", sessionId }, notification });
    await say(topic, "session_call", call({ kind: "deleted" }));
    await say(topic, "session_call", call({ kind: "stop", queryIds: ["q"], reason: "cancelled" }));
    await say(EVERYONE_TOPIC, "relay_batch", {
      messages: [{ event: "notification", payload: { target: { kind: "broadcast" }, notification } }],
    });

    const response = await fetch(`${functions}/notify_websocket`, {
      method: "POST",
      headers: { apikey: secretKey, "content-type": "application/json" },
      body: JSON.stringify({ session_id: sessionId, message: "real" }),
    });
    assert.equal(response.status, 202);
    await response.body?.cancel();
    await client.waitFor(({ content }) => content === "real");
    assert.ok(client.frames.every(({ content }) => content !== "forged"));
    assert.equal((await client.command("ping")).code, "pong");
    const metrics = await eventually("all five counted", async () => {
      const text =
        await (await fetch(`${functions}/agent_websocket/metrics`, { headers: { apikey: secretKey } }))
          .text();
      return text.includes('agent_websocket_relay_forged_total{reason="forged"} 5') && text;
    });
    assert.ok(metrics);
    const lines = stack.workerLogs.filter((line) => line.includes("relay_messages_dropped"));
    assert.equal(lines.length, 1, lines.join("\n"));
    assert.match(lines[0] ?? "", /"forged":1/);
  });
});
