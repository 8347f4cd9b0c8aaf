import assert from "node:assert/strict";
import fc from "fast-check";
import { RealtimeRelay } from "../../../supabase/functions/_shared/platform/realtime_relay.ts";
import { LINGER_MS, setUpRelay } from "../../support/fake_realtime.ts";
import { ManualClock, settle } from "../../support/manual_clock.ts";
import { RecordingLog } from "../../support/recording_log.ts";
import { listener } from "../../support/relay_listener.ts";

Deno.test("nothing is connected before it is needed, and one connection carries every topic", async () => {
  const { relay, connections, connection, clock } = setUpRelay();
  await settle();
  assert.deepEqual([relay.status, connections.length], ["idle", 0]);
  relay.subscribe("t", listener());
  relay.subscribe("u", listener());
  relay.subscribe("u", listener());
  assert.equal(relay.status, "connecting");
  await settle();
  relay.subscribe("v", listener());
  assert.deepEqual(connection().joins, ["t", "u", "v"]);
  connection().events.joined("t");
  connection().events.joined("u");
  assert.equal(relay.status, "connecting");
  connection().events.joined("v");
  assert.equal(relay.status, "ok");
  await relay.close();
  assert.deepEqual([relay.status, connections[0]?.isClosed, clock.pending], ["idle", true, 0]);
});

Deno.test("who listened before the topic was joined has missed something; who came later has not", async () => {
  const { relay, connection } = setUpRelay();
  const [early, late] = [listener(), listener()];
  relay.subscribe("t", early);
  await settle();
  assert.equal(early.counts.gaps, 0);
  connection().acceptAll();
  relay.subscribe("t", late);
  assert.deepEqual([early.counts.gaps, late.counts.gaps], [1, 0]);
  await relay.close();
});

Deno.test("a topic is kept for a while after its last listener, and left then", async () => {
  const { relay, connection, clock } = setUpRelay();
  relay.subscribe("other", listener());
  const end = relay.subscribe("t", listener());
  await settle();
  connection().acceptAll();
  end();
  end();
  clock.advance(LINGER_MS - 1);
  assert.ok(connection().topics.has("t"));
  // A listener is back: the topic was joined all the time.
  const back = relay.subscribe("t", listener());
  assert.equal(relay.status, "ok");
  clock.advance(LINGER_MS * 2);
  assert.deepEqual(connection().joins, ["other", "t"]);
  back();
  clock.advance(LINGER_MS);
  assert.deepEqual([...connection().topics], ["other"]);
  relay.subscribe("t", listener());
  assert.deepEqual([relay.status, connection().joins], ["connecting", ["other", "t", "t"]]);
  await relay.close();
});

Deno.test("with the last topic the connection ends, and the next one makes a new one", async () => {
  const { relay, connections, connection, clock } = setUpRelay();
  const end = relay.subscribe("t", listener());
  await settle();
  connection().acceptAll();
  end();
  assert.equal(relay.status, "idle");
  clock.advance(LINGER_MS);
  assert.deepEqual([connections[0]?.isClosed, clock.pending], [true, 0]);
  relay.subscribe("t", listener());
  await settle();
  assert.deepEqual(connection().joins, ["t"]);
  await relay.close();
});

Deno.test("everybody may be gone before the connection is there", async () => {
  const { relay, connections, clock } = setUpRelay();
  relay.subscribe("t", listener())();
  clock.advance(LINGER_MS);
  await settle();
  assert.deepEqual(connections.map(({ isClosed }) => isClosed), [true]);
  relay.subscribe("t", listener());
  const closed = relay.close();
  await Promise.all([settle(), closed]);
  assert.deepEqual(connections.map(({ isClosed }) => isClosed), [true, true]);
  assert.equal(clock.pending, 0);
});

Deno.test("after trouble with one topic all are joined again, by a new connection, and told of the gap", async () => {
  const { relay, connections, connection, clock, log } = setUpRelay();
  const [t, u] = [listener(), listener()];
  relay.subscribe("t", t);
  relay.subscribe("u", u);
  const lingering = relay.subscribe("v", listener());
  await settle();
  connection().acceptAll();
  lingering();
  connections[0]?.events.broken("CLOSED: Too many messages per second");
  assert.equal(relay.status, "connecting");
  assert.equal(connections[0]?.isClosed, true);
  clock.advance(999);
  assert.equal(connections.length, 1);
  clock.advance(1);
  await settle();
  // Not the topic without listeners.
  assert.deepEqual(connection().joins, ["t", "u"]);
  connection().acceptAll();
  assert.deepEqual([relay.status, t.counts.gaps, u.counts.gaps], ["ok", 2, 2]);
  assert.deepEqual(log.entries, [
    { level: "info", event: "relay_joined", topics: 3 },
    {
      level: "warn",
      event: "relay_lost",
      reason: "CLOSED: Too many messages per second",
      lastedMs: 0,
      failures: 1,
      retryMs: 1000,
    },
    { level: "info", event: "relay_joined", topics: 2 },
  ]);
  // Events of the first connection no longer count.
  connections[0]?.events.broken("again");
  connections[0]?.events.joined("t");
  connections[0]?.events.message("t", { event: "e", payload: {} });
  assert.deepEqual([relay.status, t.counts.gaps, t.heard], ["ok", 2, []]);
  await relay.close();
});

Deno.test("retries wait longer and longer, by chance, until a connection has lasted", async () => {
  const delays = async (random: number): Promise<number[]> => {
    const { relay, connection, clock } = setUpRelay({ random: () => random });
    relay.subscribe("t", listener());
    const waited: number[] = [];
    for (let failure = 0; failure < 7; failure++) {
      await settle();
      if (failure === 5) {
        // Healthy for a moment only.
        connection().acceptAll();
        clock.advance(1000);
      }
      connection().events.broken("gone");
      waited.push(clock.nextDelayMs ?? 0);
      clock.advance(clock.nextDelayMs ?? 0);
    }
    await settle();
    connection().acceptAll();
    clock.advance(30_000);
    connection().events.broken("gone");
    waited.push(clock.nextDelayMs ?? 0);
    await relay.close();
    assert.equal(clock.pending, 0);
    return waited;
  };
  assert.deepEqual(await delays(1), [1000, 2000, 4000, 8000, 10_000, 10_000, 10_000, 1000]);
  assert.deepEqual(await delays(0), [500, 1000, 2000, 4000, 5000, 5000, 5000, 500]);
});

Deno.test("topics wanted while a retry is waited for are joined with the rest; none wanted ends the wait", async () => {
  const { relay, connections, connection, clock } = setUpRelay();
  const end = relay.subscribe("t", listener());
  await settle();
  connection().events.broken("gone");
  relay.subscribe("u", listener());
  clock.advance(1000);
  await settle();
  assert.deepEqual(connection().joins, ["t", "u"]);
  await relay.close();

  const lonely = setUpRelay();
  const endLonely = lonely.relay.subscribe("t", listener());
  await settle();
  lonely.connection().events.broken("gone");
  endLonely();
  lonely.clock.advance(LINGER_MS * 10);
  await settle();
  // It reconnected once while the topic was lingering without listeners, and then ended.
  assert.ok(lonely.connections.every(({ isClosed }) => isClosed));
  assert.deepEqual([lonely.relay.status, lonely.clock.pending], ["idle", 0]);
  end();
  assert.deepEqual([relay.status, connections.length, clock.pending], ["idle", 2, 0]);
});

Deno.test("supabase-js that cannot be loaded is trouble like any other", async () => {
  const clock = new ManualClock();
  const log = new RecordingLog();
  const relay = new RealtimeRelay({
    clock,
    log,
    random: () => 0,
    lingerMs: 0,
    connect: () => Promise.reject(new Error("no such module")),
    publish: () => Promise.reject(new Error("no such module")),
  });
  relay.subscribe("t", listener());
  await settle();
  assert.equal(relay.status, "connecting");
  assert.deepEqual(log.events, ["relay_lost"]);
  assert.equal(clock.pending, 1);
  await assert.rejects(relay.publish("t", { event: "e", payload: {} }));
  await relay.close();
  assert.equal(clock.pending, 0);
});

Deno.test("closing waits for what is being sent, failed or not, and takes nothing more", async () => {
  const sends: PromiseWithResolvers<void>[] = [];
  const relay = new RealtimeRelay({
    clock: new ManualClock(),
    log: new RecordingLog(),
    random: () => 0,
    lingerMs: 0,
    connect: () => assert.fail(),
    publish(): Promise<void> {
      const send = Promise.withResolvers<void>();
      sends.push(send);
      return send.promise;
    },
  });
  const message = { event: "e", payload: {} };
  const first = relay.publish("t", message);
  const second = assert.rejects(relay.publish("t", message), { message: "lost" });
  let isClosed = false;
  const closed = relay.close().then(() => isClosed = true);
  sends[0]?.resolve();
  await settle();
  assert.equal(isClosed, false);
  sends[1]?.reject(new Error("lost"));
  await Promise.all([first, second, closed]);
  await assert.rejects(relay.publish("t", message), { code: "relay_unavailable", retryable: true });
  relay.subscribe("t", listener())();
  assert.deepEqual([sends.length, relay.status], [2, "idle"]);
});

Deno.test("whatever happens in whatever order, there is one connection at most, with what is wanted", async () => {
  const topic = fc.constantFrom("t", "u", "v");
  const step = fc.oneof(
    fc.record({ what: fc.constant("subscribe" as const), topic }),
    fc.record({ what: fc.constant("end" as const), nth: fc.nat(10) }),
    fc.record({ what: fc.constantFrom("accept" as const, "break" as const, "settle" as const) }),
    fc.record({ what: fc.constant("wait" as const), ms: fc.nat(6000) }),
  );
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
    const { relay, connections, clock } = setUpRelay();
    const ends = new Map<() => void, string>();
    const open = () => connections.filter(({ isClosed }) => !isClosed);
    for (const next of steps) {
      if (next.what === "subscribe") ends.set(relay.subscribe(next.topic, listener()), next.topic);
      else if (next.what === "end") {
        const end = [...ends.keys()][next.nth];
        end?.();
        if (end) ends.delete(end);
      } else if (next.what === "wait") clock.advance(next.ms);
      else if (next.what === "settle") await settle(1);
      else if (next.what === "accept") open().forEach((connection) => connection.acceptAll());
      else open().forEach(({ events }) => events.broken("by chance"));
      // A connection that was abandoned before it opened is closed as soon as it opens, and joins nothing.
      assert.ok(open().filter(({ topics }) => [...topics].length > 0).length <= 1);
      assert.equal(relay.status === "idle", ends.size === 0);
    }
    // In the end everything works again.
    for (let round = 0; round < 5; round++) {
      clock.advance(10_000);
      await settle(1);
      open().forEach((connection) => connection.acceptAll());
    }
    const wanted = new Set(ends.values());
    assert.equal(relay.status, wanted.size > 0 ? "ok" : "idle");
    assert.deepEqual(new Set(open()[0]?.topics), wanted);
    await relay.close();
    assert.deepEqual([open().length, clock.pending], [0, 0]);
  }));
});
