/**
 * Many watchers and many events over real sockets. Everything arrives in order, and a stalled watcher does not delay
 * the others.
 */

import assert from "node:assert/strict";
import { eventually, type TestStack, withLocalStack } from "../support/local_stack.ts";
import { RawSocket } from "../support/raw_socket.ts";
import { WireClient } from "../support/wire_client.ts";

const PATH = "/functions/v1/agent_websocket/api/v1/activity/live";
const WATCHERS = 100;
const EVENTS = 10_000;
/** Emitted at once. The next chunk waits until every watcher has received this one. */
const CHUNK = 250;
/** Extra data for the stalled watcher: more than the buffers of several sockets in a row can hold. */
const LARGE = "x".repeat(400_000);
const CATCH_UP_MS = 20_000;

async function emit(stack: TestStack, events: readonly unknown[]): Promise<void> {
  const response = await fetch(`${stack.url}/__local/activity/emit`, {
    method: "POST",
    body: JSON.stringify(events),
  });
  assert.equal(response.status, 200);
  await response.body?.cancel();
}

async function count(stack: TestStack): Promise<number> {
  return (await (await fetch(`${stack.url}/__local/activity/clients`)).json()).length;
}

/** Stores the numbers of the received events, whether a frame has one or several. */
class Watcher {
  readonly seen: number[] = [];
  readonly #client: WireClient;

  private constructor(client: WireClient) {
    this.#client = client;
    client.socket.onmessage = ({ data }): void => {
      const frame = JSON.parse(data);
      const events = frame.type === "batch" ? frame.events : [frame];
      for (const { type, data } of events) {
        if (type === "reasoning_update") this.seen.push(Number(data.sessionId));
      }
    };
  }

  static async open(stack: TestStack, subscription: object): Promise<Watcher> {
    const client = new WireClient(`${stack.wsUrl}${PATH}`, [], { apikey: stack.keys.secretKey });
    await client.next(/"connection_established"/);
    client.socket.send(
      JSON.stringify({ action: "subscribe", types: ["reasoning_update"], ack: true, ...subscription }),
    );
    await client.next(/"subscribed"/);
    return new Watcher(client);
  }

  get closed(): { code: number } | undefined {
    return this.#client.closed;
  }

  close(): Promise<void> {
    return this.#client.close();
  }
}

Deno.test("[AC11] [AC14] 100 watchers get 10,000 events each in order, while another has stopped reading and is let go", async () => {
  const options = { testHooks: true, env: { MAX_CLIENTS: "101", ACTIVITY_HEARTBEAT_MS: "600000" } };
  await withLocalStack(options, async (stack) => {
    using stalled = await RawSocket.open(Number(new URL(stack.url).port), {
      target: PATH,
      headers: { apikey: stack.keys.secretKey },
    });
    assert.equal((await stalled.answer()).status, 101);
    const watchers = await Promise.all(
      Array.from(
        { length: WATCHERS },
        (_, index) => Watcher.open(stack, index % 2 === 0 ? {} : { batch_ms: 20 }),
      ),
    );
    await eventually("all of them", async () => await count(stack) === WATCHERS + 1);
    for (let sent = 0; sent < EVENTS; sent += CHUNK) {
      const events: unknown[] = Array.from({ length: CHUNK }, (_, index) => ({
        type: "reasoning_update",
        data: { sessionId: String(sent + index), stage: "thinking", progress: 0.1 },
      }));
      // Only the stalled watcher subscribed to this type.
      events.push({ type: "system_event", data: { event: "health_change", message: LARGE } });
      await emit(stack, events);
      await eventually(
        `event ${sent + CHUNK} at everyone`,
        () => watchers.every(({ seen }) => seen.length >= sent + CHUNK),
        CATCH_UP_MS,
      );
    }
    assert.equal(await count(stack), WATCHERS, "the watcher that does not read was disconnected");
    for (const { seen, closed } of watchers) {
      assert.equal(closed, undefined);
      assert.equal(seen.length, EVENTS);
      assert.ok(seen.every((number, index) => number === index), "in order");
    }
    await Promise.all(watchers.map((watcher) => watcher.close()));
  });
});
