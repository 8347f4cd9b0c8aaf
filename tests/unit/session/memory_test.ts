/** `MAX_MEMORY_BYTES`: everything that a worker keeps is counted, and the least recently used is removed. */

import assert from "node:assert/strict";
import { OVERHEAD_BYTES } from "../../../supabase/functions/_shared/guard/memory_budget.ts";
import { startAgent, type TestAgent, type TestClient, until } from "../../support/agent_harness.ts";
import { settle } from "../../support/manual_clock.ts";

const { connection: CONNECTION, session: SESSION } = OVERHEAD_BYTES;
/** The size of each test's questions and answers, in either direction. */
const TEXT = "x".repeat(10_000);

async function exchange({ model }: TestAgent, client: TestClient, content = TEXT): Promise<void> {
  client.ask(content);
  await settle();
  model.last.finish(content);
  await settle();
}

/** Clients whose sessions were used in this order. */
async function connectSome(agent: TestAgent, count: number): Promise<TestClient[]> {
  const clients: TestClient[] = [];
  for (let n = 0; n < count; n++) {
    const client = await agent.connect();
    await exchange(agent, client);
    agent.clock.advance(1000);
    clients.push(client);
  }
  return clients;
}

function hasMetric({ metrics }: TestAgent, line: string): boolean {
  return metrics.render([]).includes(`agent_websocket_${line}\n`);
}

Deno.test("[MB1] questions, answers and connections are counted, and given back when they go", async () => {
  for (const isDurable of [true, false]) {
    const agent = startAgent({ isDurable });
    assert.equal(agent.memory.keptBytes, 0);
    const client = await agent.connect();
    assert.equal(agent.memory.keptBytes, CONNECTION + SESSION);
    await exchange(agent, client);
    const kept = agent.memory.keptBytes - CONNECTION - SESSION;
    assert.ok(kept > 40_000 && kept < 4 * 40_000, `${kept} for 40,000 bytes of text, durable ${isDurable}`);
    client.vanish();
    assert.equal(agent.memory.keptBytes - SESSION, kept);
    agent.clock.advance(36 * 60_000);
    await settle();
    assert.equal(agent.server.count().sessions, 0);
    // The memory store replaces the database if the worker believes that it has one.
    const ofStore = isDurable ? agent.memory.keptBytes : 0;
    assert.equal(agent.memory.keptBytes, ofStore);
    assert.ok(ofStore < kept);
  }
});

Deno.test("[MB1] whatever is said to a session, all is given back with it", async () => {
  const agent = startAgent({ maxEvents: 5 });
  const { model, clock } = agent;
  const client = await agent.connect("stream=true");
  const other = await agent.connect(client.resumeQuery(0));
  for (let n = 0; n < 20; n++) {
    client.ask(TEXT, { id: `q${n}` });
    client.ask(TEXT, { id: `w${n}`, policy: "latest" });
    other.ask(TEXT, { id: `q${n}` });
    await settle();
    client.say({ type: "human_feedback", verdict: "modify", content: TEXT });
    if (n % 3 === 0) client.command("cancel", { all: true });
    if (n % 7 === 0) other.command("clear");
    await settle();
    for (const call of model.calls) call.finish(TEXT);
    await settle();
  }
  const { keptBytes } = agent.memory;
  assert.ok(
    keptBytes > 0 && keptBytes < 3_000_000,
    `${keptBytes}: what is forgotten is not counted any more`,
  );
  client.command("delete");
  await settle();
  for (const seen of [client, other]) seen.vanish();
  clock.advance(10_000);
  assert.equal(agent.memory.keptBytes, 0);
});

Deno.test("[MB1] an answer counts from its start, and nothing is counted while it is written", async () => {
  const agent = startAgent();
  const client = await agent.connect("stream=true");
  client.ask("x");
  await settle();
  const atStart = agent.memory.keptBytes;
  assert.ok(atStart > CONNECTION + SESSION + 2 * 4 * 1500);
  for (let n = 0; n < 100; n++) agent.model.last.say("word ");
  assert.equal(agent.memory.keptBytes, atStart);
  agent.model.last.finish("");
  await settle();
  assert.ok(agent.memory.keptBytes < atStart);
});

Deno.test("[MB1] what waits for a reader that is behind is counted until it is read", async () => {
  const agent = startAgent({ maxBufferedBytes: 1_000_000 });
  const client = await agent.connect();
  const slow = await agent.connect(client.resumeQuery(0));
  const before = agent.memory.keptBytes;
  slow.stuffing = 1;
  slow.bufferedAmount = 200_000;
  client.command("clear");
  await settle();
  const waiting = agent.memory.keptBytes - before;
  assert.ok(waiting > 200_000 && waiting < 203_000, String(waiting));
  slow.bufferedAmount = 100_000;
  agent.clock.advance(1000);
  assert.ok((agent.clock.nextDelayMs ?? 0) > 100, "who stays behind is looked at less and less often");
  assert.ok(agent.memory.keptBytes < before + 103_000);
  slow.bufferedAmount = 0;
  agent.clock.advance(1000);
  assert.ok(agent.memory.keptBytes < before + 2000);
  const { pending } = agent.clock;
  agent.clock.advance(10_000);
  assert.equal(agent.clock.pending, pending, "who keeps up is not looked at");
});

Deno.test("[MB2] past the limit sessions that nobody holds go, the ones used least first", async () => {
  for (const isDurable of [true, false]) {
    const agent = startAgent({ isDurable, maxMemoryBytes: 700_000 });
    const clients = await connectSome(agent, 4);
    for (const client of clients.slice(0, 3)) client.vanish();
    const [first, , third, fourth] = clients;
    assert.ok(first && third && fourth);
    const again = await agent.connect(first.resumeQuery(0));
    again.command("ping");
    await settle();
    again.vanish();
    agent.clock.advance(1000);
    const before = agent.server.count().sessions;
    assert.equal(before, 4, "all fit");
    while (agent.server.count().sessions === before) await exchange(agent, fourth);
    await settle();
    assert.ok(agent.memory.keptBytes <= 700_000);
    assert.ok(fourth.isOpen && fourth.of("notification", "session_timeout").length === 0);
    const known = (await agent.connect(first.resumeQuery(0))).welcome.resumed as { recovered: boolean };
    assert.equal(known.recovered, true, "used last of those who left");
    assert.ok(
      hasMetric(agent, `sessions_evicted_total{why="memory"} ${before - agent.server.count().sessions}`),
    );
  }
});

Deno.test("[MB2] where nothing may go a newcomer is told to come back, and who is here goes on", async () => {
  const agent = startAgent({ maxMemoryBytes: 40 * (CONNECTION + SESSION) });
  const clients: TestClient[] = [];
  for (let n = 0; n < 40; n++) clients.push(await agent.connect());
  const refused = clients.filter(({ isOpen }) => !isOpen);
  assert.ok(refused.length >= 2);
  for (const client of refused) {
    assert.equal(client.only("error").code, "too_many_sessions");
    assert.match(client.only("error").content, /memory/);
    assert.deepEqual(client.closed, { code: 1013, reason: "Try again later" });
    client.vanish();
  }
  const [first] = clients;
  assert.ok(first?.isOpen);
  first.command("ping");
  await settle();
  first.only("status", "pong");
  assert.ok(agent.memory.keptBytes <= agent.memory.limitBytes);
  first.vanish();
  assert.ok((await agent.connect()).isOpen, "the session that was left makes room");
});

Deno.test("[MB2] readers that are far behind go before sessions that somebody holds", async () => {
  const agent = startAgent({ maxMemoryBytes: 500_000, maxBufferedBytes: 1_000_000 });
  const [talker, quick, slow, slower] = await connectSome(agent, 4);
  assert.ok(talker && quick && slow && slower);
  slow.bufferedAmount = 60_000;
  slower.bufferedAmount = 90_000;
  for (const client of [slow, slower]) client.command("ping");
  await settle();
  for (let n = 0; n < 20 && slower.isOpen; n++) await exchange(agent, talker);
  assert.deepEqual(slower.closed, { code: 3008, reason: "Slow consumer" });
  assert.deepEqual([talker, quick, slow].map(({ isOpen }) => isOpen), [true, true, true]);
});

Deno.test("[MB2] then held sessions go that are idle; one that is being answered stays", async () => {
  const agent = startAgent({ maxMemoryBytes: 400_000 });
  const [running, idle, talker] = await connectSome(agent, 3);
  assert.ok(running && idle && talker);
  running.ask("long", { id: "long" });
  await settle();
  const call = agent.model.last;
  for (let n = 0; n < 20 && idle.isOpen; n++) await exchange(agent, talker);
  idle.only("notification", "session_timeout");
  assert.deepEqual(idle.closed, { code: 1000, reason: "Session timeout" });
  idle.vanish();
  call.finish("done");
  await settle();
  assert.equal(running.of("response").at(-1)?.content, "done");
  assert.ok(agent.memory.keptBytes <= 400_000);
});

Deno.test("[MB3] a query for which there is no memory is refused, and may be sent again", async () => {
  const agent = startAgent({ maxMemoryBytes: 200_000 });
  const client = await agent.connect();
  client.ask("running", { id: "r" });
  for (let n = 0; n < 20; n++) client.ask(TEXT, { id: `q${n}` });
  await settle();
  const refused = client.of("error");
  assert.ok(refused.length > 5);
  for (const { code, retryable, content } of refused) {
    assert.deepEqual([code, retryable], ["queue_full", true]);
    assert.match(content, /memory/);
  }
  assert.ok(agent.memory.keptBytes <= 200_000);
  client.command("cancel", { all: true });
  await settle();
  client.command("delete");
  await settle();
  client.vanish();
  const next = await agent.connect();
  next.ask(TEXT, { id: "q19" });
  await settle();
  next.only("status", "thinking");
});

/** An `error` frame that waits for its reader. */
const MAX_REFUSAL_BYTES = 400;

Deno.test("[MB2] [MB3] a thousand connections that each fill all they may stay under the limit", async () => {
  const limit = 40_000_000;
  const agent = startAgent({ maxMemoryBytes: limit, maxSessions: 0, maxBufferedBytes: 1_048_576 });
  const clients = Array.from({ length: 1000 }, () => agent.dial());
  await until(() => clients.every(({ connection }) => connection.state !== "opening"));
  const frame = JSON.stringify({ type: "query", content: "x".repeat(30_000) });
  for (let round = 0; round < 5; round++) {
    for (const [n, client] of clients.entries()) {
      if (!client.isOpen) continue;
      // Every third client reads nothing and asks for much, every fifth leaves its session.
      if (n % 3 === 0) {
        client.stuffing = 1;
        for (let page = 0; page < 3; page++) client.command("history");
      }
      client.say(frame);
      // The refusals of one burst may come on top of the limit: memory is freed when the burst is over.
      assert.ok(agent.memory.keptBytes <= limit + clients.length * MAX_REFUSAL_BYTES, "at no moment");
      if (n % 5 === 0 && round === 2) client.vanish();
    }
    await settle();
    for (const call of agent.model.calls) call.finish("y".repeat(2000));
    await settle();
    agent.clock.advance(6000);
    await settle();
    assert.ok(agent.memory.keptBytes <= limit, `${agent.memory.keptBytes} after round ${round}`);
  }
  assert.ok(agent.model.calls.length > 200, "it did something meanwhile");
  const closedWith = (code: number): number => clients.filter(({ closed }) => closed?.code === code).length;
  assert.ok(closedWith(3008) > 10 && closedWith(1000) > 100, "slow readers and idle sessions went");
  assert.ok(clients.filter((client) => client.of("error", "queue_full").length > 0).length > 500);
  for (const client of clients) client.vanish();
  agent.clock.advance(40 * 60_000);
  await settle();
  assert.equal(agent.memory.keptBytes, 0, "all of it was given back");
});

Deno.test("[LM9] [MB2] without a limit what is kept is counted all the same", async () => {
  const agent = startAgent({ maxMemoryBytes: 0 });
  const clients = await connectSome(agent, 10);
  assert.ok(clients.every(({ isOpen }) => isOpen));
  assert.ok(agent.memory.keptBytes > 10 * (CONNECTION + SESSION));
});
