/** Answers survive their worker: which worker runs a session's turns when one dies, is cut off, or is replaced. */

import assert from "node:assert/strict";
import { AgentError } from "../../../supabase/functions/_shared/errors.ts";
import { type TestClient, until } from "../../support/agent_harness.ts";
import { settle } from "../../support/manual_clock.ts";
import type { ScriptedCall } from "../../support/scripted_model.ts";
import { resumeAt, startTwoWorkers } from "../../support/two_workers.ts";
import { LEASE_MS, startWorkers, type TestWorker, type Workers } from "../../support/workers.ts";

for (const policy of ["auto", "continue"] as const) {
  Deno.test(`[TO1] [TO4] ${policy}: a killed worker's answer goes on at another, from its checkpoint, when the lease has run out`, async () => {
    const { workers, a, b, client } = await startTwoWorkers({ policy, asks: { q: "count" } });
    a.model.last.say("one two ");
    await workers.pass(500);
    a.model.last.say("three ");
    a.kill();
    const later = await resumeAt(b, client);
    assert.deepEqual(later.welcome.resumed, { recovered: true, from_seq: 2, to_seq: 1 });
    await workers.pass(LEASE_MS - 1000);
    assert.equal(b.model.calls.length, 0, "the lease may still be renewed");
    await workers.pass(1100);
    assert.deepEqual(b.model.last.request.messages.at(-1), { role: "user", content: "count" });
    assert.equal(b.model.last.request.partial, "one two ");
    b.model.last.finish("three four");
    await settle();
    const response = later.only("response");
    assert.deepEqual([response.content, response.seq, response.in_reply_to], ["one two three four", 2, "q"]);
    assert.equal(later.textOf(response.turn_id), "one two three four");
    const { events } = await workers.store.read(client.sessionId, { afterSeq: 0, limit: 10 });
    assert.deepEqual(events.map(({ kind }) => kind), ["query", "response"]);
  });
}

for (
  const [policy, text] of [
    ["restart", "all anew"],
    ["interrupt", undefined],
  ] as const
) {
  Deno.test(`[TO4] policy ${policy}: what becomes of a dead worker's answer`, async () => {
    const { workers, a, b, client } = await startTwoWorkers({ policy, asks: { q: "count" } });
    a.model.last.say("one two");
    await workers.pass(500);
    a.kill();
    const later = await resumeAt(b, client);
    await workers.pass(LEASE_MS + 100);
    if (text === undefined) {
      const error = later.only("error");
      assert.deepEqual(
        [error.code, error.partial, error.seq, error.in_reply_to, error.retryable],
        ["interrupted", "one two", 2, "q", true],
      );
      assert.equal(b.model.calls.length, 0);
      return;
    }
    assert.deepEqual(b.model.last.request.messages.slice(1), [{ role: "user", content: "count" }]);
    assert.equal(b.model.last.request.partial, "");
    b.model.last.finish(text);
    await settle();
    assert.equal(later.only("response").content, text);
    assert.equal(later.textOf(later.only("response").turn_id), text);
  });
}

Deno.test("[TO6] [OP4] a worker that is replaced leaves its answer to the next, which goes on at once", async () => {
  const { workers, a, b, client } = await startTwoWorkers({ asks: { q: "count", r: "and then?" } });
  a.model.last.say("one two");
  const drained = a.server.drain("wall_clock");
  await settle();
  assert.equal(client.isOpen, true, "it has its time to finish");
  await workers.pass(10_000);
  assert.equal(client.closed?.code, 1012);
  client.vanish();
  await drained;
  assert.equal(client.of("error").length, 0);
  const later = await resumeAt(b, client);
  await settle();
  assert.equal(b.model.last.request.partial, "one two");
  b.model.last.finish(" three");
  await settle();
  b.model.last.finish("four");
  await settle();
  assert.deepEqual(later.of("response").map(({ content }) => content), ["one two three", "four"]);
});

Deno.test("[TO4] an answer that no worker lives long enough to begin is given up after the third, and says why", async () => {
  const { workers, a, client } = await startTwoWorkers({ asks: { q: "think hard", r: "and then?" } });
  a.kill();
  for (const name of ["second", "third", "fourth"]) {
    const { worker, last, seen } = await takeOver(workers, name, client);
    if (name !== "fourth") {
      assert.equal(last?.request.partial, "");
      assert.equal(seen.of("error").length, 0);
      worker.kill();
      continue;
    }
    const { code, content, retryable, seq } = seen.only("error");
    assert.deepEqual([code, retryable, seq], ["interrupted", false, 3]);
    assert.match(content, /3 workers ended before the model sent any new text/);
    assert.equal(last?.request.messages.at(-1)?.content, "and then?", "the next question is asked");
  }
});

Deno.test("[TO4] any new text starts the count again; what a worker only inherits is not new", async () => {
  const { workers, a, client } = await startTwoWorkers({ asks: { q: "think hard" } });
  await workers.pass(500);
  a.kill();
  for (
    const [name, text] of [["second", ""], ["third", "one"], ["fourth", ""], ["fifth", ""], [
      "sixth",
      "",
    ]] as const
  ) {
    const { worker, last } = await takeOver(workers, name, client);
    if (text !== "") last?.say(text);
    await workers.pass(1000);
    worker.kill();
  }
  const { last, seen } = await takeOver(workers, "seventh", client);
  assert.equal(last, undefined);
  assert.deepEqual([seen.only("error").retryable, seen.only("error").partial], [false, "one"]);
});

/** Starts a worker, resumes the client's session there, and lets the lease of the worker before run out. */
async function takeOver(
  workers: Workers,
  name: string,
  client: TestClient,
): Promise<{ worker: TestWorker; last: ScriptedCall | undefined; seen: TestClient }> {
  const worker = workers.start(name);
  const seen = await resumeAt(worker, client);
  await workers.pass(LEASE_MS + 100);
  return { worker, last: worker.model.calls.at(-1), seen };
}

Deno.test("[TO2] a worker that was cut off comes back: its writes are refused, its client is shown the other's answer", async () => {
  const { workers, a, b, client } = await startTwoWorkers({ asks: { q: "count" } });
  a.model.last.say("one");
  await workers.pass(500);
  a.isCutOff = true;
  const other = await resumeAt(b, client);
  await workers.pass(LEASE_MS + 100);
  a.model.last.say(" zwei");
  b.model.last.say(" two");
  await settle();
  assert.match(client.textOf(client.of("delta")[0]?.turn_id), /^one zwei/, "deltas go on meanwhile");
  a.isCutOff = false;
  await workers.pass(1000);
  assert.equal(a.model.calls[0]?.signal.aborted, true);
  b.model.last.finish(" three");
  await settle();
  for (const seen of [client, other]) {
    assert.equal(seen.only("response").content, "one two three");
    assert.deepEqual(seen.of("response").map(({ seq }) => seq), [2]);
    assert.equal(seen.of("error").length, 0);
  }
});

Deno.test("[TO2] [DL2] a worker that learns twice that it is late shows nothing after the end", async () => {
  const { workers, a, b, client } = await startTwoWorkers({ asks: { q: "count" } });
  a.model.last.say("one");
  a.isCutOff = true;
  const other = await resumeAt(b, client);
  await workers.pass(LEASE_MS + 100);
  b.model.last.finish("two");
  await settle();
  a.isCutOff = false;
  // First by the log, and then by a refused write.
  a.server.receive(client.sessionId, { kind: "appended", seq: 2 });
  await workers.pass(1000);
  await workers.pass(1000);
  const end = client.frames.findIndex(({ type }) => type === "response");
  assert.ok(end > 0);
  assert.deepEqual(client.frames.slice(end + 1).filter(({ type }) => type === "delta"), []);
  assert.equal(client.textOf(client.only("response").turn_id), "two");
  assert.equal(other.only("response").content, "two");
});

Deno.test("[DU1] a query that was accepted is never forgotten: the next worker runs what waited, in order", async () => {
  const workers = startWorkers();
  const a = workers.start("a");
  const client = await a.connect();
  for (const [id, priority] of [["1", "normal"], ["2", "low"], ["3", "normal"], ["4", "high"]] as const) {
    client.ask(id, { id, priority });
  }
  await settle();
  a.kill();
  workers.clock.advance(60_000);
  const b = workers.start("b");
  const later = await resumeAt(b, client);
  for (let turn = 0; turn < 4; turn++) {
    await settle();
    b.model.calls[turn]?.finish(`answer ${turn}`);
  }
  await settle();
  assert.deepEqual(later.of("response").map(({ in_reply_to }) => in_reply_to), ["1", "4", "3", "2"]);
});

Deno.test("[QU5] [DU1] a query that comes with the resume waits for those that were asked before it", async () => {
  const workers = startWorkers();
  const a = workers.start("a");
  const client = await a.connect();
  for (const id of ["1", "2", "3"]) client.ask(id, { id });
  client.ask("4", { id: "4", priority: "high" });
  await settle();
  a.kill();
  // Much later: no worker has the lease.
  workers.clock.advance(60_000);
  const b = workers.start("b");
  const later = b.dial(`stream=true&${client.resumeQuery(4)}`);
  later.ask("5", { id: "5" });
  later.ask("6", { id: "6", priority: "high" });
  for (let turn = 0; turn < 6; turn++) {
    await until(() => b.model.calls.length > turn);
    b.model.last.finish("!");
  }
  await settle();
  assert.deepEqual(later.of("response").map(({ in_reply_to }) => in_reply_to), [
    "1",
    "4",
    "6",
    "2",
    "3",
    "5",
  ]);
});

Deno.test("[DU1] history, what configure set and feedback are there at the next worker", async () => {
  const workers = startWorkers();
  const a = workers.start("a");
  const client = await a.connect();
  client.command("configure", { temperature: 0.1 });
  client.ask("my name is Ann", { id: "1" });
  await settle();
  a.model.last.finish("hello Ann");
  await settle();
  client.say({ type: "human_feedback", content: "shorter", verdict: "modify" });
  await settle();
  a.kill();
  const b = workers.start("b");
  const later = await resumeAt(b, client);
  later.ask("who am I?");
  await settle();
  const { messages, temperature } = b.model.last.request;
  assert.equal(temperature, 0.1);
  assert.deepEqual(messages.slice(1, 3).map(({ content }) => content), ["my name is Ann", "hello Ann"]);
  assert.match(messages.at(-1)?.content ?? "", /shorter[^]*who am I\?/);
});

Deno.test("[LM6] [DU1] a session that is only talked to is in use for the next worker too", async () => {
  const workers = startWorkers();
  const a = workers.start("a");
  const commits: string[] = [];
  const commit = workers.store.commit.bind(workers.store);
  const client = await a.connect();
  a.store.commit = (sessionId, write): ReturnType<typeof commit> => {
    commits.push(JSON.stringify(write));
    return commit(sessionId, write);
  };
  workers.clock.advance(1000);
  client.command("ping");
  await workers.pass(300_000);
  assert.deepEqual(commits, ["{}"], "at the next sweep");
  await workers.pass(300_000);
  assert.equal(commits.length, 1);
  client.command("ping");
  const drained = a.server.drain("wall_clock");
  await settle();
  assert.deepEqual(commits, ["{}", "{}"], "or before the worker ends");
  client.vanish();
  await drained;
});

Deno.test("[TO4] a turn that ends its workers is interrupted after ten of them, whatever they wrote", async () => {
  const workers = startWorkers();
  const first = workers.start("0");
  const client = await first.connect("stream=true");
  client.ask("poison", { id: "q" });
  await settle();
  first.model.last.say("0 ");
  await workers.pass(500);
  first.kill();
  let interrupted = false;
  for (let n = 1; n < 20 && !interrupted; n++) {
    const worker = workers.start(String(n));
    const later = await resumeAt(worker, client, 0);
    await workers.pass(LEASE_MS + 100);
    interrupted = later.of("error", "interrupted").length === 1;
    if (interrupted) assert.equal(n, 10);
    else worker.model.last.say(`${n} `);
    await workers.pass(500);
    worker.kill();
  }
  assert.ok(interrupted);
});

Deno.test("[TO1] [DU5] a lease that came with a claim whose answer was lost is claimed again, for what came with it", async () => {
  const { workers, a, b, client } = await startTwoWorkers({ stream: false, asks: { q: "count" } });
  a.kill();
  const later = await resumeAt(b, client);
  b.losesAnswers = true;
  await workers.pass(LEASE_MS + 100);
  b.losesAnswers = false;
  later.command("clear");
  await settle();
  b.model.last.finish("one two");
  await settle();
  assert.equal(later.only("response").content, "one two");
});

Deno.test("[DL3] [TO2] [DU5] an end that was not written before another worker took over is given up for the other's answer", async () => {
  const { workers, a, b, client } = await startTwoWorkers({ asks: { q: "count" } });
  a.isCutOff = true;
  a.model.last.finish("one");
  await settle();
  const other = await resumeAt(b, client);
  workers.clock.advance(LEASE_MS + 100);
  a.isCutOff = false;
  await settle();
  await workers.pass(1000);
  a.isCutOff = true;
  b.model.last.say("eins");
  const drained = b.server.drain("wall_clock");
  await workers.pass(10_000);
  other.vanish();
  await drained;
  assert.match(client.textOf(client.of("delta")[0]?.turn_id), /eins/);
  a.isCutOff = false;
  await workers.pass(LEASE_MS);
  // The other worker has released it as well, with the text that it had written.
  a.model.last.finish(" zwei");
  await settle();
  assert.equal(client.only("response").content, "eins zwei");
  assert.equal(client.textOf(client.only("response").turn_id), "eins zwei");
});

Deno.test("[DL3] [TO2] a worker that learns late that it was replaced leaves what it has shown of the other's answer", async () => {
  const { workers, a, b, client } = await startTwoWorkers({ asks: { q: "count" } });
  // This worker only requests deltas.
  const c = workers.start("c");
  a.model.last.say("one");
  await workers.pass(500);
  await resumeAt(b, client);
  await resumeAt(c, client);
  for (const each of [a, b, c]) each.isCutOff = true;
  await workers.pass(LEASE_MS + 100);
  b.isCutOff = false;
  await workers.pass(1000);
  a.isCutOff = false;
  client.command("clear");
  await settle();
  b.model.last.say(" two");
  await settle();
  workers.isRelayUp = false;
  client.command("clear");
  await settle();
  workers.isRelayUp = true;
  assert.equal(a.model.last.signal.aborted, true);
  const { turn_id: turnId } = client.of("delta")[0] ?? {};
  assert.equal(client.textOf(turnId), "one two");
  b.model.last.finish(" three");
  await settle();
  assert.equal(client.textOf(turnId), "one two three");
});

Deno.test("[TO1] a question that starts at once claims the lease, also where this worker had it long ago", async () => {
  const { workers, a, b, client } = await startTwoWorkers({ stream: false, asks: { 1: "first" } });
  const other = await resumeAt(b, client);
  workers.isRelayUp = false;
  a.model.last.finish("1!");
  await settle();
  for (const step of ["b claims, and finds all ended", "the lease runs out"]) {
    await workers.pass(LEASE_MS + 100);
    assert.equal(b.model.calls.length, 0, step);
  }
  other.ask("second", { id: "2" });
  await settle();
  assert.equal(b.model.calls.length, 1);
  const { lease } = await workers.store.read(client.sessionId, { afterSeq: 0, limit: 1 });
  assert.notEqual(lease.holder, "nobody");
});

Deno.test("[TO1] [DU5] a claim that was answered, but not what came before it, is made again", async () => {
  const { workers, a, b, client } = await startTwoWorkers({ stream: false, asks: { 1: "first" } });
  const other = await resumeAt(b, client);
  workers.isRelayUp = false;
  client.ask("second", { id: "2" });
  await settle();
  a.kill();
  const { store } = b;
  const { read } = store;
  store.read = () => Promise.reject(new AgentError("store_unavailable", "Cannot reach the store"));
  await workers.pass(LEASE_MS + 100);
  store.read = read;
  await workers.pass(1000);
  b.model.last.finish("1!");
  await settle();
  b.model.last.finish("2!");
  await settle();
  assert.deepEqual(other.of("response").map(({ content }) => content), ["1!", "2!"]);
});

Deno.test("[TO7] [DL3] a model that begins again replaces what was shown and stored, also for the next worker", async () => {
  const { workers, a, b, client } = await startTwoWorkers({ asks: { q: "count" } });
  a.model.last.say("one two ");
  await workers.pass(500);
  a.kill();
  const later = await resumeAt(b, client);
  await workers.pass(LEASE_MS + 100);
  const watching = workers.start("c");
  const watcher = await resumeAt(watching, client);
  await workers.pass(500);
  b.model.last.say("three four");
  await workers.pass(500);
  b.model.last.restart();
  await workers.pass(500);
  const turnId = later.of("delta")[0]?.turn_id;
  for (const seen of [later, watcher]) assert.equal(seen.textOf(turnId), "");
  b.model.last.say("eins zwei");
  await workers.pass(500);
  for (const seen of [later, watcher]) assert.equal(seen.textOf(turnId), "eins zwei");
  b.kill();
  // What the other worker last read of the lease is older than its last renewal.
  await workers.pass(LEASE_MS);
  await workers.pass(LEASE_MS);
  assert.equal(watching.model.last.request.partial, "eins zwei");
  watching.model.last.finish(" drei", { continued: { ways: ["anchored"] } });
  await settle();
  const response = watcher.only("response");
  assert.equal(response.content, "eins zwei drei");
  assert.deepEqual(response.continued, { ways: ["anchored"] });
  assert.equal(watcher.textOf(turnId), response.content);
});

Deno.test("[TO7] until the new answer has a checkpoint, the next worker continues the old one", async () => {
  const { workers, a, b, client } = await startTwoWorkers({ asks: { q: "count" } });
  a.model.last.say("one two ");
  await workers.pass(500);
  a.kill();
  await resumeAt(b, client);
  await workers.pass(LEASE_MS + 100);
  b.model.last.restart();
  b.model.last.say("eins");
  b.kill();
  const c = workers.start("c");
  const later = await resumeAt(c, client);
  await workers.pass(LEASE_MS + 100);
  assert.equal(c.model.last.request.partial, "one two ");
  c.model.last.finish("three");
  await settle();
  assert.equal(later.only("response").content, "one two three");
});
