import assert from "node:assert/strict";
import fc from "fast-check";
import { MessageSeal, type SealProblem } from "../../../supabase/functions/_shared/guard/message_seal.ts";
import { BatchingRelay } from "../../../supabase/functions/_shared/notify/batching_relay.ts";
import { InProcessRelay } from "../../../supabase/functions/_shared/notify/in_process_relay.ts";
import { SigningRelay } from "../../../supabase/functions/_shared/notify/signing_relay.ts";
import type { Relay, RelayMessage } from "../../../supabase/functions/_shared/ports/relay.ts";
import {
  MAX_RELAY_BATCH_BYTES,
  MAX_RELAY_PAYLOAD_BYTES,
} from "../../../supabase/functions/_shared/protocol/relay_payload.ts";
import { ManualClock, settle } from "../../support/manual_clock.ts";
import { RecordingLog } from "../../support/recording_log.ts";
import { listener, message, type TestListener } from "../../support/relay_listener.ts";

const KEY = "sb_secret_of_the_project";
const OLD_KEY = "sb_secret_that_is_being_replaced";

interface Setting {
  /** A channel to which everyone can write who passes row level security, or bypasses it. */
  wire: InProcessRelay;
  /** Everything that went over it on topic `t`. */
  seen: RelayMessage[];
  relay: SigningRelay;
  heard: TestListener["heard"];
  clock: ManualClock;
  log: RecordingLog;
  dropped: SealProblem[];
}

function setUp(keys: readonly string[] = [KEY]): Setting {
  const wire = new InProcessRelay();
  const seen: RelayMessage[] = [];
  wire.subscribe("t", { onMessage: (message) => void seen.push(message) });
  const clock = new ManualClock();
  const log = new RecordingLog();
  const dropped: SealProblem[] = [];
  const relay = signer(wire, keys, { clock, log, dropped });
  const there = listener();
  relay.subscribe("t", there);
  return { wire, seen, relay, heard: there.heard, clock, log, dropped };
}

function signer(
  relay: Relay,
  keys: readonly string[],
  { clock, log, dropped = [] }: { clock: ManualClock; log: RecordingLog; dropped?: SealProblem[] },
): SigningRelay {
  return new SigningRelay({
    relay,
    seal: new MessageSeal(keys),
    clock,
    log,
    onDropped: (problem) => void dropped.push(problem),
  });
}

/**
 * Waits until published messages have been signed, transmitted and verified. WebCrypto answers from its own threads,
 * which can be slow on a busy machine. It waits up to 20 s, and calls `meanwhile` between the checks.
 */
async function arrived(isSo: () => boolean, meanwhile = (): void => {}): Promise<void> {
  const end = performance.now() + 20_000;
  while (!isSo() && performance.now() < end) {
    meanwhile();
    await settle();
  }
  assert.ok(isSo());
}

Deno.test("[RL6] what is written to a topic without a secret key is dropped, whatever it says", async () => {
  const { wire, relay, heard, dropped } = setUp();
  const payloads: Record<string, unknown>[] = [
    { from: "eve", sessionId: "s", call: { kind: "deleted" } },
    { from: "eve", sessionId: "s", call: { kind: "stop", queryIds: ["q"], reason: "cancelled" } },
    {
      from: "eve",
      sessionId: "s",
      call: { kind: "tail", epoch: 1, turnId: "t", queryId: "q", offset: 0, content: "no" },
    },
    { target: { kind: "broadcast" }, notification: { kind: "notification" } },
    {},
    { at: 0, body: "{}", mac: "" },
    { at: 1_735_689_600_000, body: "{}", mac: `${"A".repeat(43)}=` },
    { at: 1_735_689_600_000, body: { kind: "deleted" }, mac: `${"A".repeat(43)}=` },
    { at: "1735689600000", body: "{}", mac: `${"A".repeat(43)}=` },
    { at: 1_735_689_600_000, body: "{}", mac: `${"A".repeat(42)}==` },
    { at: 1_735_689_600_000, body: "{}", mac: "*".repeat(44) },
    { __proto__: null, at: null, body: null, mac: null },
    { messages: [{ event: "session_call", payload: {} }] },
  ];
  for (const event of ["session_call", "notification", "relay_batch", "activity", "activity_watched"]) {
    for (const payload of payloads) await wire.publish("t", { event, payload });
  }
  await relay.publish("t", message(1));
  await arrived(() => heard.length > 0);
  assert.deepEqual(heard, [message(1)]);
  assert.deepEqual(dropped, Array(payloads.length * 5).fill("forged"));
  await relay.close();
});

Deno.test("[RL6] a signed message counts on its topic, under its name, with its time and its words only", async () => {
  const { wire, seen, relay, heard, dropped, clock } = setUp();
  const elsewhere = listener();
  relay.subscribe("u", elsewhere);
  await relay.publish("t", { event: "session_call", payload: { text: "stop" } });
  await arrived(() => heard.length === 1);
  const [sent] = seen;
  assert.ok(sent !== undefined);
  const sealed = sent.payload as Record<string, unknown>;
  await wire.publish("u", sent);
  await wire.publish("t", { ...sent, event: "notification" });
  await wire.publish("t", { ...sent, payload: { ...sealed, at: clock.now() + 1 } });
  await wire.publish("t", { ...sent, payload: { ...sealed, body: '{"text":"stop!"}' } });
  await arrived(() => dropped.length === 4);
  assert.deepEqual(dropped, Array(4).fill("forged"));
  assert.deepEqual([heard.length, elsewhere.heard], [1, []]);
  // Every text that differs in one character, or is cut, is refused as well.
  const { at, body, mac } = sealed as { at: number; body: string; mac: string };
  await fc.assert(
    fc.asyncProperty(
      fc.nat(body.length - 1),
      fc.string({ minLength: 0, maxLength: 1 }),
      async (index, char) => {
        const changed = body.slice(0, index) + char + body.slice(index + 1);
        fc.pre(changed !== body);
        const seal = new MessageSeal([KEY]);
        const payload = { at, body: changed, mac };
        assert.deepEqual(await seal.open("t", { event: "session_call", payload }, at), { problem: "forged" });
      },
    ),
    { numRuns: 50 },
  );
  await relay.close();
});

Deno.test("[RL6] a message is accepted once, and for a minute by its sender's clock", async () => {
  const { wire, seen, relay, heard, dropped, clock, log } = setUp();
  await relay.publish("t", message(1));
  await arrived(() => heard.length === 1);
  const [sent] = seen;
  assert.ok(sent !== undefined);
  await wire.publish("t", sent);
  await arrived(() => dropped.length === 1);
  // A worker that has not seen the message accepts it within a minute, as a late message.
  const other = signer(wire, [KEY], { clock, log, dropped });
  const late = listener();
  other.subscribe("t", late);
  clock.advance(60_000);
  await wire.publish("t", sent);
  await arrived(() => late.heard.length === 1 && dropped.length === 2);
  clock.advance(1);
  await wire.publish("t", sent);
  await arrived(() => dropped.length === 4);
  assert.deepEqual(dropped, ["repeated", "repeated", "stale", "stale"]);
  assert.deepEqual([heard.length, late.heard.length], [1, 1]);
  await other.close();
});

Deno.test("[RL6] a message is the same message however its signature is spelled", async () => {
  const seal = new MessageSeal([KEY]);
  const payload = await seal.seal("t", { event: "e", body: "{}" }, 0);
  assert.deepEqual(await seal.open("t", { event: "e", payload }, 0), { payload: {} });
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const start = payload.mac.slice(0, 42);
  const spellings = [
    ...[...alphabet].map((last) => `${start}${last}=`).filter((mac) => mac !== payload.mac),
    payload.mac.slice(0, 43),
    ` ${payload.mac}`,
    `${payload.mac}\n`,
    payload.mac.replaceAll("+", "-").replaceAll("/", "_").replace("=", ""),
  ];
  // Some of these decode to exactly the same bytes.
  const same = spellings.filter((mac) => /^[A-Za-z0-9+/]{43}=$/.test(mac) && atob(mac) === atob(payload.mac));
  assert.equal(same.length, 3);
  for (const mac of spellings) {
    const opened = await seal.open("t", { event: "e", payload: { ...payload, mac } }, 0);
    assert.deepEqual(opened, { problem: "forged" }, mac);
  }
});

Deno.test("[RL6] a message from a clock that is ahead is accepted once, for as long as it is accepted at all", async () => {
  const seal = new MessageSeal([KEY]);
  const now = 1_735_689_600_000;
  const payload = await seal.seal("t", { event: "e", body: "{}" }, now + 60_000);
  const open = (at: number): ReturnType<MessageSeal["open"]> => seal.open("t", { event: "e", payload }, at);
  assert.deepEqual(await open(now - 1), { problem: "stale" });
  assert.deepEqual(await open(now), { payload: {} });
  // Other messages in between do not make the worker forget it.
  for (let n = 0; n < 20; n++) {
    const other = await seal.seal("t", { event: "e", body: `{"n":${n}}` }, now + n * 6000);
    assert.ok("payload" in await seal.open("t", { event: "e", payload: other }, now + n * 6000));
  }
  assert.deepEqual(await open(now + 120_000), { problem: "repeated" });
  assert.deepEqual(await open(now + 120_001), { problem: "stale" });
});

Deno.test("[RL6] while keys are being replaced the first one signs, and all are accepted", async () => {
  const { wire, relay, heard, dropped, clock, log, seen } = setUp([KEY, OLD_KEY]);
  const before = signer(wire, [OLD_KEY], { clock, log });
  const after = signer(wire, [KEY], { clock, log });
  const stranger = signer(wire, ["sb_secret_of_another_project"], { clock, log });
  await before.publish("t", message(1));
  await after.publish("t", message(2));
  await stranger.publish("t", message(3));
  await relay.publish("t", message(4));
  await arrived(() => heard.length === 3);
  assert.deepEqual(heard, [message(1), message(2), message(4)]);
  assert.deepEqual(dropped, ["forged"]);
  const signedByFirst = new MessageSeal([KEY]);
  const newest = seen.at(-1) ?? assert.fail();
  assert.deepEqual(await signedByFirst.open("t", newest, clock.now()), { payload: { n: 4 } });
  assert.throws(() => new MessageSeal([]), { name: "TypeError" });
  await relay.close();
});

Deno.test("[RL6] a flood of forged messages is counted, and logged in one line a minute", async () => {
  const { wire, relay, dropped, log, clock } = setUp();
  for (let n = 0; n < 500; n++) await wire.publish("t", message(n));
  await arrived(() => dropped.length === 500);
  assert.deepEqual(log.entries, [{ level: "warn", event: "relay_messages_dropped", forged: 1 }]);
  clock.advance(59_999);
  assert.equal(log.entries.length, 1);
  clock.advance(1);
  assert.deepEqual(log.entries.slice(1), [{ level: "warn", event: "relay_messages_dropped", forged: 499 }]);
  // With nothing to report there is no timer.
  clock.advance(60_000);
  assert.deepEqual([log.entries.length, clock.pending], [2, 0]);
  await wire.publish("t", message(1));
  await arrived(() => dropped.length === 501);
  assert.deepEqual([log.entries.length, clock.pending], [3, 1]);
  await relay.close();
  assert.equal(clock.pending, 0);
});

Deno.test("messages come in the order in which they came, however long checking each of them takes", async () => {
  const { relay, heard } = setUp();
  const sizes = Array.from({ length: 40 }, (_, n) => n % 4 === 0 ? 100_000 : 1);
  for (const [n, size] of sizes.entries()) {
    await relay.publish("t", { event: "e", payload: { n, text: "x".repeat(size) } });
  }
  await arrived(() => heard.length === 40);
  assert.deepEqual(heard.map(({ payload }) => (payload as { n: number }).n), sizes.map((_, n) => n));
  await relay.close();
});

Deno.test("messages of one moment go on in one moment, however long each signature takes", async () => {
  const wire = new InProcessRelay();
  const clock = new ManualClock();
  const moments: string[][] = [];
  let moment: string[] | undefined;
  const publish = wire.publish.bind(wire);
  wire.publish = (topic, sent) => {
    if (moment === undefined) {
      moments.push(moment = []);
      queueMicrotask(() => moment = undefined);
    }
    moment.push(topic);
    return publish(topic, sent);
  };
  const relay = signer(wire, [KEY], { clock, log: new RecordingLog() });
  const sizes = [100_000, 10, 200_000, 1];
  const published = sizes.map((size, n) =>
    relay.publish(`${n}`, { event: "e", payload: { text: "x".repeat(size) } })
  );
  const refused = assert.rejects(relay.publish("u", { event: "e", payload: [1] }), { name: "TypeError" });
  // Closing waits for all of them.
  await Promise.all([...published, refused, relay.close()]);
  assert.deepEqual(moments, [["0", "1", "2", "3"]]);
});

Deno.test("[RL6] many messages that go together have one signature, and fit whatever characters they have", async () => {
  const { wire, relay, heard, clock, log, seen, dropped } = setUp();
  const batching = new BatchingRelay({ relay, clock, log });
  const there = listener();
  batching.subscribe("t", there);
  const text = '"\\'.repeat(5000);
  const sent = Array.from({ length: 12 }, (_, n) => ({ event: "e", payload: { n, text } }));
  const published = Promise.all(sent.map((each) => batching.publish("t", each)));
  await arrived(() => there.heard.length === 12, () => clock.advance(20));
  await published;
  assert.deepEqual(there.heard, sent);
  assert.ok(seen.length < 6, `${seen.length} broadcasts`);
  for (const { payload } of seen) assert.ok(JSON.stringify(payload).length <= MAX_RELAY_PAYLOAD_BYTES);
  assert.ok(2 * MAX_RELAY_BATCH_BYTES + 200 <= MAX_RELAY_PAYLOAD_BYTES);
  assert.equal(heard.length, seen.length);
  assert.deepEqual(dropped, []);
  // A batch that was never signed is not unpacked.
  await wire.publish("t", { event: "relay_batch", payload: { messages: sent } });
  await arrived(() => dropped.length === 1);
  assert.equal(there.heard.length, 12);
  await batching.close();
});
