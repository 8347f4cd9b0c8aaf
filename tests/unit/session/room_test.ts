/** `MAX_SESSIONS` limits the number of `Session` objects, whatever arrives at the same time. */

import assert from "node:assert/strict";
import { AgentError } from "../../../supabase/functions/_shared/errors.ts";
import { MemoryStore } from "../../../supabase/functions/_shared/session/memory_store.ts";
import { startAgent, type TestClient, until } from "../../support/agent_harness.ts";
import { ManualClock, settle } from "../../support/manual_clock.ts";
import { inSteps } from "../../support/two_workers.ts";
import { startWorkers } from "../../support/workers.ts";

function isSettled({ connection }: TestClient): boolean {
  return connection.state !== "opening";
}

Deno.test("[LM7] thirty at once where five may be: five are welcomed, the others told to come back", async () => {
  for (const latencyMs of [0, 100]) {
    const workers = startWorkers();
    const a = workers.start("a", { maxSessions: 5 });
    a.latencyMs = latencyMs;
    const clients = Array.from({ length: 30 }, () => a.dial());
    await until(() => clients.filter(isSettled).length >= 25);
    // Resume tokens are hashed on another thread.
    for (let round = 0; round < 100 && !clients.every(isSettled); round++) await inSteps(workers, 20);
    assert.equal(clients.filter(({ isOpen }) => isOpen).length, 5);
    const refused = clients.filter(({ isOpen }) => !isOpen);
    assert.ok(refused.every((client) => client.only("error").code === "too_many_sessions"));
    assert.ok(refused.every(({ closed }) => closed?.code === 1013));
    assert.equal(a.server.count().sessions, 5);
  }
});

Deno.test("[LM7] many at once take the places of those who left, and no more", async () => {
  for (const isDurable of [false, true]) {
    const { connect, dial, server, clock } = startAgent({ maxSessions: 5, isDurable });
    const before = [];
    for (let n = 0; n < 5; n++) {
      before.push(await connect());
      clock.advance(1000);
    }
    for (const client of before.slice(0, 3)) client.vanish();
    const clients = Array.from({ length: 30 }, () => dial());
    await until(() => clients.every(isSettled));
    await settle();
    assert.equal(clients.filter(({ isOpen }) => isOpen).length, 3);
    assert.deepEqual(before.map(({ isOpen }) => isOpen), Array(5).fill(true), "nobody who is here is closed");
    assert.equal(server.count().sessions, 5);
  }
});

Deno.test("[LM7] a session that could not be made gives its place back", async () => {
  const clock = new ManualClock();
  let isDown = true;
  class DownStore extends MemoryStore {
    override create(...args: Parameters<MemoryStore["create"]>): Promise<void> {
      if (!isDown) return super.create(...args);
      return Promise.reject(
        new AgentError("store_unavailable", "Cannot reach the store", { retryable: true }),
      );
    }
  }
  const { connect, server } = startAgent({
    clock,
    store: new DownStore({ clock, maxEvents: 10 }),
    maxSessions: 1,
  });
  for (let n = 0; n < 3; n++) assert.equal((await connect()).only("error").code, "store_unavailable");
  isDown = false;
  assert.ok((await connect()).isOpen);
  assert.equal(server.count().sessions, 1);
});

Deno.test("[RS7] [LM7] connections that resume one session at once share it, and it takes one place", async () => {
  const workers = startWorkers();
  const a = workers.start("a");
  const b = workers.start("b", { maxSessions: 1 });
  for (const worker of [a, b]) worker.verifier.admit("ann's", "ann");
  const client = await a.connect("jwt=ann's");
  b.latencyMs = 100;
  const clients = Array.from({ length: 5 }, () => b.dial(`jwt=ann's&${client.resumeQuery(0)}`));
  await inSteps(workers, 300);
  assert.deepEqual(clients.map(({ sessionId }) => sessionId), Array(5).fill(client.sessionId));
  assert.equal(b.server.count().sessions, 1);
  const [first, ...others] = clients;
  first?.ask("x", { id: "q" });
  await inSteps(workers, 300);
  b.model.last.finish("x!");
  await inSteps(workers, 300);
  for (const other of others) assert.equal(other.only("response").content, "x!");
  assert.equal(b.model.calls.length, 1);
});

Deno.test("[LM7] a session that is being resumed is not the one that goes", async () => {
  const { connect, dial, server, verifier } = startAgent({ maxSessions: 2 });
  // The session belongs to a user. A resume token would be hashed on another thread, which finishes at an unknown time.
  verifier.admit("ann's", "ann");
  const first = await connect("jwt=ann's");
  const second = await connect("jwt=ann's");
  first.vanish();
  second.vanish();
  const again = dial(`jwt=ann's&${first.resumeQuery(0)}`);
  const newcomers = ["jwt=ann's", "jwt=ann's", "jwt=ann's"].map((query) => dial(query));
  await until(() => [again, ...newcomers].every(isSettled));
  await settle();
  assert.equal(server.count().sessions, 2);
  assert.ok(again.isOpen);
  const held = [again, ...newcomers].filter(({ isOpen }) => isOpen);
  assert.ok(held.length <= 2);
  again.command("ping");
  await settle();
  again.only("status", "pong");
});
