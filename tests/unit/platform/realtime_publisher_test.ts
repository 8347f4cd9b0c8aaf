/** Which messages share a request to Realtime, and what becomes of each. */

import assert from "node:assert/strict";
import { RealtimePublisher } from "../../../supabase/functions/_shared/platform/realtime_publisher.ts";
import type { RelayPressure } from "../../../supabase/functions/_shared/ports/relay.ts";
import { ManualClock, settle } from "../../support/manual_clock.ts";

interface Sent {
  topic: string;
  event: string;
  payload: Record<string, unknown>;
  private: boolean;
}

interface Setting {
  publisher: RealtimePublisher;
  /** The messages of each request. */
  requests: Sent[][];
  pressures: RelayPressure[];
}

const KEY = "sb_secret_of_the_project";
const RATE = { "x-rate-limit": "100", "x-rate-rolling": "97" };
const accepted = (): Response => new Response(null, { status: 202 });

function setUp(answer: (messages: Sent[]) => Response | Promise<Response> = accepted): Setting {
  const requests: Sent[][] = [];
  const pressures: RelayPressure[] = [];
  const publisher = new RealtimePublisher({
    supabaseUrl: "https://example.supabase.co",
    secretKey: KEY,
    clock: new ManualClock(),
    timeoutMs: 5000,
    fetch: async (input, init) => {
      const url = new URL(String(input));
      assert.equal(url.origin, "https://example.supabase.co");
      const { apikey, authorization } = Object.fromEntries(new Headers(init?.headers));
      assert.deepEqual([init?.method, apikey, authorization], ["POST", KEY, undefined]);
      const messages = messagesOf(url, JSON.parse(String(init?.body)));
      requests.push(messages);
      return await answer(messages);
    },
    onPressure: (pressure) => void pressures.push(pressure),
  });
  return { publisher, requests, pressures };
}

/** Fails unless several messages are in one list, and one alone is at its own address. */
function messagesOf({ pathname, search }: URL, body: Record<string, unknown>): Sent[] {
  const [, path = ""] = /^\/realtime\/v1\/api\/broadcast(.*)$/.exec(pathname) ?? assert.fail(pathname);
  if (path === "") {
    const messages = body.messages as Sent[];
    assert.ok(messages.length > 1);
    return messages;
  }
  const [, topic = "", event = ""] = /^\/([^/]+)\/events\/([^/]+)$/.exec(path) ?? assert.fail(path);
  assert.equal(search, "?private=true");
  return [{
    topic: decodeURIComponent(topic),
    event: decodeURIComponent(event),
    payload: body,
    private: true,
  }];
}

const topicsOf = (requests: readonly Sent[][]): string[] =>
  requests.map((messages) => messages.map(({ topic }) => topic).join(" "));

Deno.test("[RL3] messages of one moment share a request, in their order", async () => {
  const { publisher, requests } = setUp();
  await Promise.all([
    publisher.publish("t", { event: "e", payload: { n: 1 } }),
    publisher.publish("u/ü?", { event: 'a "name"', payload: { text: "\u2028😀" } }),
    publisher.publish("t", { event: "e", payload: { n: 2 } }),
  ]);
  await publisher.publish("v/ü?", { event: "50 % & more/", payload: { n: 3 } });
  assert.deepEqual(requests, [[
    { topic: "t", event: "e", payload: { n: 1 }, private: true },
    { topic: "u/ü?", event: 'a "name"', payload: { text: "\u2028😀" }, private: true },
    { topic: "t", event: "e", payload: { n: 2 }, private: true },
  ], [
    { topic: "v/ü?", event: "50 % & more/", payload: { n: 3 }, private: true },
  ]]);
});

Deno.test("a request has at most 20 messages and a million bytes", async () => {
  const { publisher, requests } = setUp();
  const publish = (count: number, chars: number): Promise<unknown> =>
    Promise.all(Array.from(
      { length: count },
      (_, n) => publisher.publish(`${n}`, { event: "e", payload: { text: "€".repeat(chars) } }),
    ));
  await publish(41, 10);
  assert.deepEqual(requests.map(({ length }) => length), [20, 20, 1]);
  await publish(9, 80_000);
  assert.deepEqual(requests.slice(3).map(({ length }) => length), [4, 4, 1]);
});

Deno.test("what cannot be sent is refused by itself", async () => {
  const { publisher, requests } = setUp();
  const taken = publisher.publish("t", { event: "e", payload: {} });
  await assert.rejects(publisher.publish("u", { event: "e", payload: { text: "x".repeat(250_001) } }), {
    code: "message_too_large",
  });
  await assert.rejects(publisher.publish("v", { event: "e", payload: [1] }), { name: "TypeError" });
  await taken;
  assert.deepEqual(topicsOf(requests), ["t"]);
});

for (const status of [400, 413, 422]) {
  Deno.test(`a request refused with ${status} for one message is sent once more, each message by itself`, async () => {
    const { publisher, requests, pressures } = setUp((messages) =>
      messages.some(({ topic }) => topic === "bad") ? new Response("not this", { status }) : accepted()
    );
    const [good, bad, other] = await Promise.allSettled(
      ["good", "bad", "other"].map((topic) => publisher.publish(topic, { event: "e", payload: {} })),
    );
    assert.deepEqual([good?.status, bad?.status, other?.status], ["fulfilled", "rejected", "fulfilled"]);
    const { reason } = bad as PromiseRejectedResult;
    assert.deepEqual([reason.code, reason.retryable], ["relay_unavailable", true]);
    assert.deepEqual(reason.cause, new Error(`HTTP ${status}: not this`));
    assert.deepEqual(topicsOf(requests), ["good bad other", "good", "bad", "other"]);
    assert.deepEqual(pressures, Array(2).fill({ isRefused: false }));
  });
}

Deno.test("[RL4] a request of too many messages at once is no refusal of each: they are sent one by one", async () => {
  const message = "Too many messages to broadcast, please reduce the batch size";
  let room = 3;
  const { publisher, requests, pressures } = setUp((messages) => {
    if (messages.length > room) return Response.json({ message }, { status: 429, headers: RATE });
    room -= messages.length;
    return new Response(null, { status: 202, headers: RATE });
  });
  const outcomes = await Promise.allSettled(
    ["a", "b", "c", "d"].map((topic) => publisher.publish(topic, { event: "e", payload: {} })),
  );
  assert.deepEqual(outcomes.map(({ status }) => status), ["fulfilled", "fulfilled", "fulfilled", "rejected"]);
  assert.deepEqual(topicsOf(requests), ["a b c d", "a", "b", "c", "d"]);
  // Only the last refusal says that the project has too many messages. The rate is reported each time.
  assert.deepEqual(pressures.map(({ isRefused }) => isRefused), [false, false, false, false, true]);
  assert.deepEqual(pressures[0]?.rate, { limit: 100, perSecond: 97 });
});

const REFUSALS: Readonly<Record<string, () => Response | Promise<Response>>> = {
  "the rate": () => Response.json({ message: "You have exceeded your rate limit" }, { status: 429 }),
  "the key": () => Response.json({ message: "Unauthorized" }, { status: 401 }),
  "an outage": () => new Response("<html>", { status: 503 }),
  "a redirect to nowhere": () => new Response(null, { status: 404 }),
  "no answer": () => Promise.reject(new DOMException("No answer within 5000 ms", "TimeoutError")),
};

for (const [why, answer] of Object.entries(REFUSALS)) {
  Deno.test(`a request refused for ${why} is not sent again, and every message fails`, async () => {
    const { publisher, requests } = setUp(answer);
    const outcomes = await Promise.allSettled(
      ["a", "b"].map((topic) => publisher.publish(topic, { event: "e", payload: {} })),
    );
    assert.deepEqual(outcomes.map(({ status }) => status), ["rejected", "rejected"]);
    assert.deepEqual(topicsOf(requests), ["a b"]);
    for (const outcome of outcomes) {
      const { reason } = outcome as PromiseRejectedResult;
      assert.equal(reason.code, "relay_unavailable");
      assert.ok(!String(reason.cause).includes(KEY));
    }
  });
}

Deno.test("a request that is slow does not hold the next", async () => {
  const { promise, resolve } = Promise.withResolvers<Response>();
  const { publisher, requests } = setUp(([first]) => first?.topic === "slow" ? promise : accepted());
  const slow = publisher.publish("slow", { event: "e", payload: {} });
  await settle(1);
  await publisher.publish("t", { event: "e", payload: {} });
  assert.deepEqual(topicsOf(requests), ["slow", "t"]);
  resolve(accepted());
  await slow;
});
