/** The contract of every Relay, run on each implementation. */

import assert from "node:assert/strict";
import { MessageSeal } from "../../supabase/functions/_shared/guard/message_seal.ts";
import { BatchingRelay } from "../../supabase/functions/_shared/notify/batching_relay.ts";
import { InProcessRelay } from "../../supabase/functions/_shared/notify/in_process_relay.ts";
import { SigningRelay } from "../../supabase/functions/_shared/notify/signing_relay.ts";
import type { Relay, RelayMessage } from "../../supabase/functions/_shared/ports/relay.ts";
import { createRealtimeRelay } from "../../supabase/functions/_shared/platform/realtime_relay.ts";
import { systemClock } from "../../supabase/functions/_shared/platform/system.ts";
import { EVERYONE_TOPIC, sessionTopic } from "../../supabase/functions/_shared/protocol/topics.ts";
import { joined, openTestRealtime, until } from "../support/realtime_server.ts";
import { listener, message } from "../support/relay_listener.ts";

/** Relays that reach each other, one per worker. */
interface RelaysUnderTest extends AsyncDisposable {
  worker(): Relay;
}

const clock = systemClock();
const log = { write(): void {} };

function inProcess(wrap: (relay: Relay) => Relay): Promise<RelaysUnderTest> {
  const relay = wrap(new InProcessRelay());
  return Promise.resolve({ worker: () => relay, [Symbol.asyncDispose]: () => relay.close() });
}

async function overRealtime(wrap: (relay: Relay) => Relay): Promise<RelaysUnderTest> {
  const server = await openTestRealtime();
  const relays: Relay[] = [];
  return {
    worker(): Relay {
      const { url: supabaseUrl, keys: { secretKey } } = server;
      const relay = wrap(createRealtimeRelay({ supabaseUrl, secretKey, clock, log, lingerMs: 20 }));
      relays.push(relay);
      return relay;
    },
    async [Symbol.asyncDispose](): Promise<void> {
      await Promise.all(relays.map((relay) => relay.close()));
      await server[Symbol.asyncDispose]();
    },
  };
}

const plain = (relay: Relay): Relay => relay;
const batching = (relay: Relay): Relay => new BatchingRelay({ relay, clock, log });
const seal = (): MessageSeal => new MessageSeal(["sb_secret_of_the_project"]);
const signing = (relay: Relay): Relay =>
  new SigningRelay({ relay, seal: seal(), clock, log, onDropped: (problem) => assert.fail(problem) });

/** The bytes that a signature adds to the payload of the largest message, whose JSON has four quotation marks. */
const SEAL_BYTES = '{"at":1735689600000,"body":"","mac":""}'.length + 44 + 4;

const IMPLEMENTATIONS: Readonly<Record<string, () => Promise<RelaysUnderTest>>> = {
  "InProcessRelay": () => inProcess(plain),
  "InProcessRelay with batches": () => inProcess(batching),
  "InProcessRelay, signed": () => inProcess(signing),
  "RealtimeRelay": () => overRealtime(plain),
  "RealtimeRelay with batches": () => overRealtime(batching),
  "RealtimeRelay, signed, with batches": () => overRealtime((relay) => batching(signing(relay))),
};

for (const [name, make] of Object.entries(IMPLEMENTATIONS)) {
  Deno.test(`${name}: a message reaches everyone who listens to its topic, and nobody else`, async () => {
    await using relays = await make();
    const [here, there, elsewhere] = [listener(), listener(), listener()];
    const [a, b] = [relays.worker(), relays.worker()];
    a.subscribe("t", here);
    b.subscribe("t", there);
    b.subscribe("u", elsewhere);
    await Promise.all([joined(a), joined(b)]);
    await a.publish("t", message(1));
    await until(() => here.heard.length > 0 && there.heard.length > 0);
    await b.publish("t", message(2));
    await until(() => here.heard.length > 1 && there.heard.length > 1);
    assert.deepEqual(here.heard, [message(1), message(2)]);
    assert.deepEqual(there.heard, here.heard);
    assert.deepEqual(elsewhere.heard, []);
  });

  Deno.test(`${name}: messages of which each waits for the one before come in order`, async () => {
    await using relays = await make();
    const there = listener();
    const [a, b] = [relays.worker(), relays.worker()];
    b.subscribe("t", there);
    await joined(b);
    for (let n = 0; n < 50; n++) await a.publish("t", message(n));
    await until(() => there.heard.length === 50);
    assert.deepEqual(there.heard, Array.from({ length: 50 }, (_, n) => message(n)));
  });

  Deno.test(`${name}: what arrives is what JSON carries, whatever the event is called`, async () => {
    await using relays = await make();
    const there = listener();
    const relay = relays.worker();
    relay.subscribe("a topic/ü?#", there);
    await joined(relay);
    const event = "un événement / 50% & 😀";
    await relay.publish("a topic/ü?#", {
      event,
      payload: {
        text: "Grüße 😀 \u2028 \0",
        date: new Date(0),
        nothing: undefined,
        list: [1, null, { a: true }],
      },
    });
    await until(() => there.heard.length > 0);
    assert.deepEqual(there.heard, [{
      event,
      payload: {
        text: "Grüße 😀 \u2028 \0",
        date: "1970-01-01T00:00:00.000Z",
        list: [1, null, { a: true }],
      },
    }]);
  });

  Deno.test(`${name}: the largest message passes, and a larger one is refused in so many words`, async () => {
    await using relays = await make();
    const there = listener();
    const relay = relays.worker();
    relay.subscribe("t", there);
    await joined(relay);
    const room = 250_000 - '{"text":""}'.length - (name.includes("signed") ? SEAL_BYTES : 0);
    const largest = { event: "e", payload: { text: "x".repeat(room) } };
    await relay.publish("t", largest);
    await until(() => there.heard.length > 0);
    assert.deepEqual(there.heard, [largest]);
    await assert.rejects(relay.publish("t", { event: "e", payload: { text: largest.payload.text + "x" } }), {
      code: "message_too_large",
      retryable: false,
      message: "Cannot relay the message: it has 250001 bytes, and at most 250000 are allowed",
    });
    for (const payload of [undefined, null, 7, "text", [1]]) {
      await assert.rejects(relay.publish("t", { event: "e", payload }), { name: "TypeError" });
    }
    await relay.publish("t", message(2));
    await until(() => there.heard.length > 1);
    assert.deepEqual(there.heard.slice(1), [message(2)]);
  });

  Deno.test(`${name}: whoever has ended hears no more, and takes nobody else along`, async () => {
    await using relays = await make();
    const relay = relays.worker();
    const [ended, twice, stays] = [listener(), listener(), listener()];
    const ends = [relay.subscribe("t", ended), relay.subscribe("t", twice), relay.subscribe("t", twice)];
    relay.subscribe("t", stays);
    await joined(relay);
    await relay.publish("t", message(1));
    await until(() => stays.heard.length === 1);
    assert.deepEqual([ended.heard.length, twice.heard.length], [1, 2]);
    for (const end of ends.slice(0, 2)) end();
    ends[0]?.();
    await relay.publish("t", message(2));
    await until(() => stays.heard.length === 2);
    assert.deepEqual([ended.heard.length, twice.heard.length], [1, 3]);
  });

  Deno.test(`${name}: a listener may end and subscribe while it is being told`, async () => {
    await using relays = await make();
    const relay = relays.worker();
    const heard: string[] = [];
    const ends: (() => void)[] = [];
    ends.push(relay.subscribe("t", {
      onMessage(): void {
        heard.push("first");
        for (const end of ends) end();
        relay.subscribe("t", { onMessage: () => void heard.push("new") });
      },
    }));
    ends.push(relay.subscribe("t", { onMessage: () => void heard.push("ended by the first") }));
    relay.subscribe("t", { onMessage: () => void heard.push("last") });
    await joined(relay);
    await relay.publish("t", message(1));
    await until(() => heard.includes("last"));
    assert.deepEqual(heard, ["first", "last"]);
    await relay.publish("t", message(2));
    await until(() => heard.length === 4);
    assert.deepEqual(heard.slice(2), ["last", "new"]);
  });

  Deno.test(`${name}: its status is idle while nobody listens`, async () => {
    await using relays = await make();
    const relay = relays.worker();
    assert.equal(relay.status, "idle");
    await relay.publish("t", message(1));
    assert.equal(relay.status, "idle");
    const ends = [relay.subscribe("t", listener()), relay.subscribe("u", listener())];
    await joined(relay);
    ends[0]?.();
    assert.equal(relay.status, "ok");
    ends[1]?.();
    assert.equal(relay.status, "idle");
    relay.subscribe("t", listener());
    await joined(relay);
  });

  Deno.test(`${name}: 5,000 sessions of a worker hear what is theirs, over 8 topics and the one for all`, async () => {
    await using relays = await make();
    const [a, b] = [relays.worker(), relays.worker()];
    let heard = 0;
    const ends: (() => void)[] = [];
    for (let n = 0; n < 5000; n++) {
      const sessionId = crypto.randomUUID();
      const onMessage = ({ payload }: RelayMessage): void => {
        if ((payload as { for: string }).for === sessionId) heard++;
      };
      ends.push(b.subscribe(sessionTopic(sessionId), { onMessage }));
      ends.push(b.subscribe(EVERYONE_TOPIC, { onMessage: () => void heard++ }));
      if (n % 500 === 0) {
        await joined(b);
        await a.publish(sessionTopic(sessionId), { event: "e", payload: { for: sessionId } });
        await until(() => heard === n / 500 + 1);
      }
    }
    heard = 0;
    await a.publish(EVERYONE_TOPIC, message(1));
    await until(() => heard === 5000);
    for (const end of ends) end();
    assert.equal(b.status, "idle");
  });

  Deno.test(`${name}: closed, it takes nothing more and says nothing more`, async () => {
    await using relays = await make();
    const relay = relays.worker();
    const there = listener();
    const end = relay.subscribe("t", there);
    await joined(relay);
    await Promise.all([relay.close(), relay.close()]);
    assert.equal(relay.status, "idle");
    await assert.rejects(relay.publish("t", message(1)), { code: "relay_unavailable", retryable: true });
    relay.subscribe("t", there)();
    end();
    assert.deepEqual([relay.status, there.heard], ["idle", []]);
  });
}
