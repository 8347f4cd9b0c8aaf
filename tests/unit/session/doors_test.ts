/** What an unauthenticated caller may use: time, connection slots, bytes, sessions. */

import assert from "node:assert/strict";
import * as fc from "fast-check";
import { AgentError } from "../../../supabase/functions/_shared/errors.ts";
import { BytePool } from "../../../supabase/functions/_shared/guard/byte_pool.ts";
import { OnDemand } from "../../../supabase/functions/_shared/on_demand.ts";
import type { UseLedger } from "../../../supabase/functions/_shared/ports/quota.ts";
import { type Decode, decode } from "../../../supabase/functions/_shared/protocol/decode.ts";
import { PUBLISHABLE_KEY, startAgent, type TestClient, until } from "../../support/agent_harness.ts";
import { settle } from "../../support/manual_clock.ts";

const AUTH_TIMEOUT_MS = 5000;

/** What a hostile caller may send instead. */
const HOSTILE = {
  publishable: (client: TestClient) => client.command("auth", { token: PUBLISHABLE_KEY }),
  garbage: (client: TestClient) => client.say("{"),
  query: (client: TestClient) => client.ask("let me in"),
  ping: (client: TestClient) => client.command("ping"),
  binary: (client: TestClient) => client.say(new Uint8Array([0xff]).buffer),
};

Deno.test("[AU5] whatever is sent instead of a token, the deadline is that of the opening", async () => {
  const steps = fc.array(
    fc.record({
      what: fc.constantFrom(...Object.keys(HOSTILE) as (keyof typeof HOSTILE)[]),
      afterMs: fc.integer({ min: 0, max: 2000 }),
    }),
    { maxLength: 30 },
  );
  await fc.assert(
    fc.asyncProperty(steps, fc.constantFrom("", `jwt=${PUBLISHABLE_KEY}`), async (sent, query) => {
      const { dial, clock } = startAgent({ mode: "required" });
      const client = dial(query);
      await settle(1);
      let leftMs = AUTH_TIMEOUT_MS;
      for (const { what, afterMs } of sent) {
        if (afterMs >= leftMs) break;
        clock.advance(afterMs);
        leftMs -= afterMs;
        HOSTILE[what](client);
        await settle(1);
      }
      clock.advance(leftMs - 1);
      assert.ok(client.isOpen);
      clock.advance(1);
      assert.equal(client.closed?.code, 4001);
      client.vanish();
      assert.equal(clock.pending, 0);
    }),
    { numRuns: 60 },
  );
});

Deno.test("[AU5] a token that cannot be checked in time is not called a bad one", async () => {
  const { dial, verifier, clock, server } = startAgent({ mode: "required" });
  const gate = Promise.withResolvers<void>();
  verifier.admit("good", "ann");
  verifier.gate = gate.promise;
  const [withToken, later] = [dial("jwt=good"), dial()];
  await settle();
  clock.advance(AUTH_TIMEOUT_MS - 1);
  later.command("auth", { token: "good" });
  clock.advance(1);
  for (const client of [withToken, later]) {
    assert.deepEqual(client.frames.map(({ code, retryable }) => [code, retryable]), [[
      "store_unavailable",
      true,
    ]]);
    assert.equal(client.closed?.code, 1013);
  }
  gate.resolve();
  await settle();
  for (const client of [withToken, later]) {
    assert.equal(client.frames.length, 1, "too late is too late");
    client.vanish();
  }
  assert.deepEqual([server.count().connections, server.count().sessions, clock.pending], [0, 0, 0]);
});

Deno.test("[AU5] whoever has said in time who it is may wait for the store", async () => {
  const probe = Promise.withResolvers<void>();
  const { dial, verifier, clock } = startAgent({ mode: "required", ready: () => probe.promise });
  verifier.admit("good", "ann");
  const client = dial("jwt=good");
  await settle();
  clock.advance(3 * AUTH_TIMEOUT_MS);
  assert.ok(client.isOpen);
  probe.resolve();
  await until(() => client.frames.length > 0);
  assert.ok(client.welcome);
});

/** A ledger that answers only when the test allows it. */
class GatedLedger implements UseLedger {
  gate: Promise<void> = Promise.resolve();
  isDown = false;
  readonly held = new Map<string, number>();

  async report(reports: Parameters<UseLedger["report"]>[0]): ReturnType<UseLedger["report"]> {
    for (const { key, connections } of reports) this.held.set(key, connections);
    await this.gate;
    if (this.isDown) throw new AgentError("store_unavailable", "Cannot reach the store", { retryable: true });
    return new Map(reports.map(({ key }) => [key, { framesLeft: 20, connections: this.held.get(key) ?? 0 }]));
  }
}

Deno.test("[LM3] sockets that leave while the store is probed, or the ledger asked, lock nobody out", async () => {
  const probe = Promise.withResolvers<void>();
  const ledger = new GatedLedger();
  const { dial, connect, verifier, clock, server } = startAgent({
    mode: "required",
    ready: () => probe.promise,
    ledger,
  });
  verifier.admit("good", "ann");
  const early = Array.from({ length: 10 }, () => dial("jwt=good"));
  await settle();
  for (const client of early) client.vanish();
  probe.resolve();
  await settle();
  const gate = Promise.withResolvers<void>();
  ledger.gate = gate.promise;
  const asking = Array.from({ length: 10 }, () => dial("jwt=good"));
  await settle();
  for (const client of asking) client.vanish();
  gate.resolve();
  await settle();
  assert.equal(server.count().connections, 0);
  for (let count = 0; count < 10; count++) assert.ok((await connect("jwt=good")).welcome, `${count}`);
  assert.equal((await connect("jwt=good")).closed?.code, 1013);
  clock.advance(3000);
  await settle();
  assert.equal(ledger.held.get("user:ann"), 10);
});

Deno.test("[LM3] however sockets come and go, a user has as many places as before once they are gone", async () => {
  const action = fc.constantFrom("dial", "vanish", "vanish late", "gate", "open", "down", "up", "wait");
  await fc.assert(
    fc.asyncProperty(fc.array(action, { maxLength: 40 }), async (actions) => {
      const ledger = new GatedLedger();
      const { dial, connect, verifier, clock, server } = startAgent({ ledger, maxConnectionsPerUser: 3 });
      verifier.admit("good", "ann");
      const clients: TestClient[] = [];
      let gate: PromiseWithResolvers<void> | undefined;
      for (const name of actions) {
        if (name === "dial") clients.push(dial("jwt=good"));
        if (name === "vanish") clients.at(0)?.vanish();
        if (name === "vanish late") clients.at(-1)?.vanish();
        if (name === "gate") ledger.gate = (gate ??= Promise.withResolvers<void>()).promise;
        if (name === "open") gate?.resolve();
        if (name === "down" || name === "up") ledger.isDown = name === "down";
        if (name === "wait") clock.advance(3000);
        await settle(1);
      }
      gate?.resolve();
      ledger.isDown = false;
      await settle();
      for (const client of clients) client.vanish();
      assert.equal(server.count().connections, 0);
      // The ledger gets the report within two report intervals; one of the reports may have failed.
      for (let report = 0; report < 2; report++) {
        clock.advance(20_000);
        await settle();
      }
      assert.equal(ledger.held.get("user:ann") ?? 0, 0);
      for (let count = 0; count < 3; count++) assert.ok((await connect("jwt=good")).welcome);
    }),
    { numRuns: 100 },
  );
});

const HERE = { "x-forwarded-for": "192.0.2.1" };
const THERE = { "x-forwarded-for": "192.0.2.2" };

Deno.test("[LM12] an address has only so many connections; those of users count as the users'", async () => {
  const { connect, verifier } = startAgent({ maxConnectionsPerAddress: 2 });
  verifier.admit("good", "ann");
  const first = await connect("", HERE);
  for (let count = 0; count < 3; count++) assert.ok((await connect("jwt=good", HERE)).welcome);
  await connect("", HERE);
  const refused = await connect("", HERE);
  assert.deepEqual(
    refused.frames.map(({ code, retryable, retry_after_ms }) => [code, retryable, retry_after_ms]),
    [["too_many_connections", true, 5000]],
  );
  assert.equal(refused.closed?.code, 1013);
  assert.ok((await connect("", THERE)).welcome);
  first.vanish();
  assert.ok((await connect("", HERE)).welcome, "a place that was left is free again");
});

Deno.test("[LM12] [LM11] an address opens only so many anonymous sessions an hour; going on with one is free", async () => {
  const { connect, verifier, clock } = startAgent({ sessionsPerHour: 3 });
  verifier.admit("good", "ann");
  const [first] = [await connect("", HERE), await connect("", HERE), await connect("", HERE)];
  const refusals = [
    await connect("", HERE),
    await connect("session_id=00000000-0000-4000-8000-00000000ffff&resume_token=invented", HERE),
  ];
  for (const refused of refusals) {
    assert.deepEqual(
      refused.frames.map(({ code, retryable, retry_after_ms }) => [code, retryable, retry_after_ms]),
      [["too_many_sessions", true, 1_200_000]],
    );
    assert.equal(refused.closed?.code, 1013);
  }
  first.vanish();
  const again = await connect(first.resumeQuery(0), HERE);
  assert.equal(again.sessionId, first.sessionId);
  assert.ok((await connect("jwt=good", HERE)).welcome, "users have a limit of their own");
  assert.ok((await connect("", THERE)).welcome);
  clock.advance(1_199_000);
  assert.equal((await connect("", HERE)).closed?.code, 1013);
  clock.advance(1000);
  assert.ok((await connect("", HERE)).welcome, "when it is over one is taken");
});

Deno.test("[HS7] before the welcome 256 KiB of frames wait, and more closes the connection", async () => {
  const { dial, verifier, clock } = startAgent();
  const gate = Promise.withResolvers<void>();
  verifier.admit("good", "ann");
  verifier.gate = gate.promise;
  const [patient, hostile] = [dial("jwt=good"), dial("jwt=good")];
  const frame = (id: string): Record<string, unknown> => ({
    type: "command",
    content: "ping",
    id,
    padding: "x".repeat(60_000),
  });
  for (let count = 0; count < 4; count++) patient.say(frame(`p${count}`));
  for (let count = 0; count < 50; count++) hostile.say(frame(`h${count}`));
  assert.deepEqual(hostile.frames.map(({ code }) => code), ["rate_limited"]);
  clock.advance(250);
  assert.deepEqual(hostile.closed, { code: 1008, reason: "Rate limit abused" });
  gate.resolve();
  await until(() => patient.of("status", "pong").length === 4);
  assert.ok(patient.isOpen);
});

Deno.test("[HS7] what waits in the worker is bounded, and given back with its connection", async () => {
  const loading = Promise.withResolvers<Decode>();
  const waiting = new BytePool({ maxBytes: 300_000 });
  const { dial, verifier } = startAgent({ waiting, decoder: new OnDemand(() => loading.promise) });
  const gate = Promise.withResolvers<void>();
  verifier.admit("good", "ann");
  verifier.gate = gate.promise;
  const clients = Array.from({ length: 6 }, () => dial("jwt=good"));
  for (const client of clients) client.say({ type: "command", content: "ping", padding: "x".repeat(60_000) });
  assert.deepEqual(clients.map((client) => client.of("error", "rate_limited").length), [0, 0, 0, 0, 1, 1]);
  assert.ok(clients.every((client) => client.isOpen), "others' fault is no reason to close");
  const before = waiting.used;
  clients[0]?.vanish();
  assert.ok(waiting.used < before - 60_000);
  // Too large to be parsed: it is answered, and not kept.
  clients[4]?.say("x".repeat(70_000));
  assert.ok(waiting.used < before);
  loading.resolve(decode);
  gate.resolve();
  await until(() => clients.slice(1).every((client) => client.connection.state !== "opening"));
  assert.equal(waiting.used, 0);
  assert.equal(clients[4]?.of("error", "message_too_large").length, 1);
});
