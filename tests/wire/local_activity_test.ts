/** The test hooks of the live activity: emit an event, list the watchers, close the hub. */

import assert from "node:assert/strict";
import { eventually, type TestStack, withLocalStack } from "../support/local_stack.ts";
import { WireClient } from "../support/wire_client.ts";

const PATH = "/functions/v1/agent_websocket/api/v1/activity/live";
const EVENT = {
  type: "session_event",
  timestamp: "2026-11-21T10:00:00.000Z",
  data: { event: "created", sessionId: "s1", userId: "ann" },
};

async function hook(stack: TestStack, name: string, init: RequestInit = {}): Promise<Response> {
  return await fetch(`${stack.url}/__local/activity/${name}`, init);
}

async function emit(stack: TestStack, body: unknown, query = ""): Promise<Record<string, unknown>> {
  const response = await hook(stack, `emit${query}`, { method: "POST", body: JSON.stringify(body) });
  assert.equal(response.status, 200);
  return await response.json();
}

async function watch({ wsUrl }: TestStack, token: string): Promise<WireClient> {
  const watcher = new WireClient(`${wsUrl}${PATH}`, ["agent-websocket.v1", `jwt-${token}`]);
  await watcher.next(/"connection_established"/);
  return watcher;
}

/** Two watchers at two workers: requests go to the workers in turn, once both have started. */
async function watchBoth(stack: TestStack): Promise<WireClient[]> {
  const live = (): number =>
    stack.workers().filter((one) => one.function === "agent_websocket" && one.state === "live").length;
  await eventually("two workers", () => live() === 2);
  return [await watch(stack, stack.keys.secretKey), await watch(stack, stack.keys.secretKey)];
}

/** Skips the events that the agent emits by itself. */
async function nextOf(watcher: WireClient, type: string): Promise<unknown> {
  return JSON.parse(await watcher.next(new RegExp(`"type":"${type}"`)));
}

Deno.test("local activity: what a test emits reaches the watchers of every worker, as it was given", async () => {
  await withLocalStack({ testHooks: true, workers: 2 }, async (stack) => {
    const ann = await stack.token({ claims: { sub: "ann" } });
    const watchers = await watchBoth(stack);
    const anns = await watch(stack, ann);
    assert.deepEqual(await emit(stack, EVENT, "?user_id=ann"), { done: true, workers: 2 });
    for (const watcher of [...watchers, anns]) {
      assert.deepEqual(await nextOf(watcher, "session_event"), EVENT);
    }
    // An event without an owner goes to the watchers who see everything. Several events keep their order. A missing
    // time becomes now.
    const progress = [1, 2, 3].map((part) => ({
      type: "reasoning_update",
      data: { sessionId: "s1", stage: "thinking", progress: part / 4 },
    }));
    await emit(stack, progress);
    for (const watcher of watchers) {
      for (const { type, data } of progress) {
        const seen = await nextOf(watcher, type);
        assert.ok(typeof seen === "object" && seen !== null && "timestamp" in seen);
        assert.deepEqual(seen, { type, timestamp: new Date(String(seen.timestamp)).toISOString(), data });
      }
    }
    await emit(stack, { ...EVENT, data: { ...EVENT.data, sessionId: "the end" } }, "?user_id=ann");
    assert.match(JSON.stringify(await nextOf(anns, "session_event")), /the end/);
    assert.ok(!anns.messages.some((text) => text.includes("reasoning_update")));
    for (const wrong of ["1", '"x"', "{", "[[]]"]) {
      const response = await hook(stack, "emit", { method: "POST", body: wrong });
      assert.equal(response.status, 400, wrong);
      assert.match((await response.json()).message, /event|JSON/);
    }
    await Promise.all([...watchers, anns].map((watcher) => watcher.close()));
  });
});

Deno.test("local activity: getClientInfo over all workers", async () => {
  await withLocalStack({ testHooks: true, workers: 2 }, async (stack) => {
    const clients = async (): Promise<Record<string, unknown>[]> =>
      await (await hook(stack, "clients")).json();
    assert.deepEqual(await clients(), []);
    const watchers = [await watch(stack, stack.keys.secretKey), await watch(stack, stack.keys.secretKey)];
    const [one] = watchers;
    one?.socket.send(JSON.stringify({ action: "subscribe", types: ["load_change", "no type"], ack: true }));
    await one?.next(/"subscribed"/);
    // Other requests can disturb the round robin, so connect until both workers have a watcher.
    let seen = await clients();
    while (new Set(seen.map(({ worker }) => worker)).size < 2 && watchers.length < 20) {
      watchers.push(await watch(stack, stack.keys.secretKey));
      seen = await clients();
    }
    assert.deepEqual(
      new Set(seen.map(({ subscribedTypes }) => String(subscribedTypes))),
      new Set(["load_change", ""]),
    );
    assert.equal(new Set(seen.map(({ worker }) => worker)).size, 2);
    for (const { clientId, connectedAt } of seen) {
      assert.match(String(clientId), /^ws-/);
      assert.ok(Math.abs(Date.parse(String(connectedAt)) - Date.now()) < 60_000);
    }
    await Promise.all(watchers.map((watcher) => watcher.close()));
    await eventually("nobody", async () => (await clients()).length === 0);
  });
});

Deno.test("[AC8] local activity: the hub can be closed, and takes watchers again", async () => {
  await withLocalStack({ testHooks: true, workers: 2 }, async (stack) => {
    const watchers = await watchBoth(stack);
    const response = await hook(stack, "close", { method: "POST" });
    assert.deepEqual(await response.json(), { done: true, workers: 2 });
    for (const watcher of watchers) {
      assert.deepEqual(await watcher.end(), { code: 1001, reason: "Server shutting down" });
    }
    const again = await watch(stack, stack.keys.secretKey);
    await emit(stack, EVENT);
    assert.deepEqual(await nextOf(again, "session_event"), EVENT);
    await again.close();
  });
});

Deno.test("local activity: without LOCAL_TEST_HOOKS=1 there is no such hook", async () => {
  await withLocalStack({}, async (stack) => {
    const watcher = await watch(stack, stack.keys.secretKey);
    const asked: [string, string][] = [["emit", "POST"], ["clients", "GET"], ["close", "POST"]];
    for (const [name, method] of asked) {
      const response = await hook(stack, name, {
        method,
        ...(method === "POST" && { body: JSON.stringify(EVENT) }),
      });
      assert.equal(response.status, 404, name);
      await response.body?.cancel();
    }
    watcher.socket.send(JSON.stringify({ action: "ping" }));
    await watcher.next(/"pong"/);
    assert.ok(!watcher.messages.some((text) => text.includes("s1")));
    await watcher.close();
  });
});
