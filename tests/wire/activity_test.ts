/** The live-activity stream on the whole local stack: authorization, content, and events across workers. */

import assert from "node:assert/strict";
import { echo, HandModel } from "../support/hand_model.ts";
import { eventually, type TestStack, withLocalStack } from "../support/local_stack.ts";
import { connect } from "../support/agent_client.ts";
import { WireClient } from "../support/wire_client.ts";

interface Seen {
  type: string;
  data: Record<string, unknown>;
}

const SUBPROTOCOL = "agent-websocket.v1";

function watch({ wsUrl }: TestStack, token: string): WireClient {
  return new WireClient(`${wsUrl}/functions/v1/agent_websocket/api/v1/activity/live`, [
    SUBPROTOCOL,
    `jwt-${token}`,
  ]);
}

function eventsOf(watcher: WireClient): Seen[] {
  return watcher.messages.map((text) => JSON.parse(text));
}

async function established(watcher: WireClient): Promise<void> {
  await eventually("connection_established", () => eventsOf(watcher)[0]?.type === "connection_established");
}

Deno.test("[AC1] [AC9] [AC10] [AC17] [AC21] a secret key sees what the agent does, a user what is her own", async () => {
  await using model = new HandModel({ respond: echo });
  await withLocalStack({ model: { baseUrl: model.baseUrl } }, async (stack) => {
    const ann = await stack.token({ claims: { sub: "ann" } });
    const all = watch(stack, stack.keys.secretKey);
    const anns = watch(stack, ann);
    await Promise.all([established(all), established(anns)]);
    const url = `${stack.wsUrl}/functions/v1/agent_websocket`;
    await using mine = await connect(`${url}?jwt=${ann}`);
    await using visitor = await connect(url);
    await mine.answer("Hi");
    await visitor.answer("Hello");
    const done = (watcher: WireClient): number =>
      eventsOf(watcher).filter(({ data }) => data.stage === "completed").length;
    await eventually("both turns", () => done(all) === 2);
    await eventually("her turn", () => done(anns) === 1);
    const users = new Set(
      eventsOf(all).flatMap(({ data }) => data.userId === undefined ? [] : [data.userId]),
    );
    assert.deepEqual(users, new Set(["ann", "anonymous"]));
    assert.ok(eventsOf(all).some(({ type, data }) => type === "system_event" && data.event === "startup"));
    const sessions = new Set(
      eventsOf(anns).flatMap(({ data }) => data.sessionId === undefined ? [] : [data.sessionId]),
    );
    assert.deepEqual(sessions, new Set([mine.welcome.session_id]));
    await all.close();
    await anns.close();
  });
});

Deno.test("[AC23] [AC24] who may not watch is told after the upgrade; another path is no stream", async () => {
  await withLocalStack({}, async (stack) => {
    const path = `${stack.wsUrl}/functions/v1/agent_websocket/api/v1/activity/live`;
    for (
      const protocols of [[], [SUBPROTOCOL, "jwt-nonsense"], [
        SUBPROTOCOL,
        `jwt-${stack.keys.publishableKey}`,
      ]]
    ) {
      const watcher = new WireClient(path, protocols);
      assert.equal((await watcher.end()).code, 4001);
      assert.deepEqual(watcher.messages.map((text) => JSON.parse(text).code), ["unauthorized"]);
    }
    for (const wrong of ["/", "x", "/more"]) {
      const response = await fetch(`${path.replace("ws", "http")}${wrong}`);
      assert.deepEqual([response.status, await response.text()], [400, "Expected WebSocket request"]);
    }
  });
});

Deno.test("[AC8] [AC14] [AC22] [AC25] events reach a watcher of another worker, and what functions publish", async () => {
  await using model = new HandModel({ respond: echo });
  const options = {
    env: { RATE_LIMIT_PER_MINUTE: "0" },
    workers: 2,
    model: { baseUrl: model.baseUrl },
  };
  await withLocalStack(options, async (stack) => {
    const watcher = watch(stack, stack.keys.secretKey);
    await established(watcher);
    // Round robin: one of the two is on the worker without a watcher.
    const url = `${stack.wsUrl}/functions/v1/agent_websocket`;
    await using one = await connect(url);
    await using two = await connect(url);
    await eventually("events of both sessions", async () => {
      await Promise.all([one.answer("Hi"), two.answer("Hi")]);
      const seen = new Set(eventsOf(watcher).map(({ data }) => data.sessionId));
      return seen.has(one.welcome.session_id) && seen.has(two.welcome.session_id);
    }, 20_000);
    watcher.socket.send(JSON.stringify({ action: "subscribe", types: ["system_event"], batch_ms: 20 }));
    const response = await fetch(`${stack.url}/functions/v1/notify_websocket`, {
      method: "POST",
      headers: { apikey: stack.keys.secretKey, "content-type": "application/json" },
      body: JSON.stringify({
        activity: { type: "system_event", data: { event: "config_change", status: "published" } },
      }),
    });
    assert.equal(response.status, 202);
    await response.body?.cancel();
    const batch = JSON.parse(await watcher.next(/"batch".*"published"/));
    assert.equal(batch.events.at(-1).data.status, "published");
    for (const worker of stack.workers()) {
      if (worker.function === "agent_websocket") {
        stack.disturb("agent_websocket", "beforeunload", { number: worker.worker, reason: "wall_clock" });
      }
    }
    assert.deepEqual(await watcher.end(), { code: 1001, reason: "Server shutting down" });
  });
});

Deno.test("[AC25] the first turn at a worker that has just come is shown to who watches at another one, from the start", async () => {
  await using model = new HandModel({ respond: echo });
  const options = { env: { RATE_LIMIT_PER_MINUTE: "0" }, workers: 2, model: { baseUrl: model.baseUrl } };
  await withLocalStack(options, async (stack) => {
    const watcher = watch(stack, stack.keys.secretKey);
    await established(watcher);
    await eventually(
      "the watched worker's channel",
      () => stack.realtime.stats().connections[0]?.channels[0],
    );
    // Round robin: the other worker has done nothing yet.
    await using client = await connect(`${stack.wsUrl}/functions/v1/agent_websocket`);
    await client.answer("Hi");
    const own = (): Seen[] =>
      eventsOf(watcher).filter(({ data }) => data.sessionId === client.welcome.session_id);
    // Within 4 s, less than the interval at which a watched worker announces itself.
    await eventually("the end of the turn", () => own().some(({ data }) => data.stage === "completed"), 4000);
    const told = own().flatMap(({ data }) => data.event ?? data.stage ?? []);
    assert.deepEqual(told, ["created", "queued", "thinking", "streaming", "completed"]);
  });
});

Deno.test("[AC6] over the maximum a peer is closed 1013 with its reason, and what it sends harms nobody", async () => {
  await withLocalStack({ env: { MAX_CLIENTS: "1" } }, async (stack) => {
    const watcher = watch(stack, stack.keys.secretKey);
    await established(watcher);
    for (const garbage of ["{", "null", '{"action":"subscribe","types":{}}', "x".repeat(70_000)]) {
      const refused = watch(stack, stack.keys.secretKey);
      refused.socket.onopen = () => {
        refused.socket.send(garbage);
        refused.socket.send(new Uint8Array([0xff, 0xfe]));
      };
      assert.deepEqual(await refused.end(), { code: 1013, reason: "Maximum clients reached" });
      assert.deepEqual(refused.messages, []);
    }
    watcher.socket.send(JSON.stringify({ action: "ping" }));
    await watcher.next(/"pong"/);
    await watcher.close();
    const health = await fetch(`${stack.url}/functions/v1/agent_websocket/health`);
    assert.equal((await health.json()).status, "ok");
  });
});
