import assert from "node:assert/strict";
import { MAX_LOG_CHARS } from "../../../supabase/functions/_shared/session/memory_store.ts";
import { startAgent, type TestAgent, type TestClient, until } from "../../support/agent_harness.ts";
import { settle } from "../../support/manual_clock.ts";

/** A session with `turns` complete turns, so twice as many events. */
async function conversation(agent: TestAgent, turns: number, query = ""): Promise<TestClient> {
  agent.model.onCall = (call) => call.finish(`answer ${call.request.messages.at(-1)?.content}`);
  const client = await agent.connect(query);
  for (let turn = 1; turn <= turns; turn++) {
    client.ask(String(turn), { id: `q${turn}` });
    await settle(1);
  }
  await settle();
  assert.equal(client.seqs.at(-1), 2 * turns);
  return client;
}

Deno.test("[RS1] [SQ1] [SQ2] what was missed comes once and in order, then what is live", async () => {
  const agent = startAgent();
  const client = await conversation(agent, 5);
  client.vanish();
  for (const lastSeq of [0, 1, 4, 9]) {
    const again = await agent.connect(client.resumeQuery(lastSeq));
    assert.deepEqual(again.welcome.resumed, { recovered: true, from_seq: lastSeq + 1, to_seq: 10 });
    assert.deepEqual(again.seqs, Array.from({ length: 10 - lastSeq }, (_, index) => lastSeq + 1 + index));
    assert.equal(again.welcome.session_id, client.sessionId);
    again.vanish();
  }
  const last = await agent.connect(client.resumeQuery(10));
  assert.deepEqual(last.welcome.resumed, { recovered: true, from_seq: 11, to_seq: 10 });
  last.ask("more");
  await settle();
  assert.deepEqual(last.seqs, [11, 12]);
});

Deno.test("[RS1] last_seq left out means all of it", async () => {
  const agent = startAgent();
  const client = await conversation(agent, 2);
  const again = await agent.connect(client.resumeQuery(0).replace("&last_seq=0", ""));
  assert.deepEqual(again.seqs, [1, 2, 3, 4]);
  assert.deepEqual(again.of("query").map(({ content, id }) => [content, id]), [["1", "q1"], ["2", "q2"]]);
});

Deno.test("[RS2] the memory store keeps 4,000,000 characters of a session, however few events they are", async () => {
  const agent = startAgent();
  const answer = "x".repeat(1_500_000);
  agent.model.onCall = (call) => call.finish(answer);
  const client = await agent.connect();
  for (const id of ["1", "2", "3"]) {
    client.ask(id, { id });
    await settle();
  }
  assert.equal(MAX_LOG_CHARS, 4_000_000);
  client.vanish();
  const again = await agent.connect(client.resumeQuery(1));
  assert.deepEqual(again.welcome.resumed, { recovered: false, from_seq: 3, to_seq: 6, reason: "gap" });
  await settle();
  assert.deepEqual(again.seqs, [3, 4, 5, 6]);
  agent.model.onCall = (call) => call.finish("y".repeat(4_000_001));
  again.ask("4");
  await settle();
  const last = await agent.connect(client.resumeQuery(6));
  assert.deepEqual(last.welcome.resumed, { recovered: false, from_seq: 8, to_seq: 8, reason: "gap" });
  assert.deepEqual(last.seqs, [8]);
});

Deno.test("[RS2] where the oldest are gone the client is told so", async () => {
  const agent = startAgent({ maxEvents: 4 });
  const client = await conversation(agent, 5);
  const again = await agent.connect(client.resumeQuery(3));
  assert.deepEqual(again.welcome.resumed, { recovered: false, from_seq: 7, to_seq: 10, reason: "gap" });
  assert.deepEqual(again.seqs, [7, 8, 9, 10]);
});

Deno.test("[RS3] [RS5] unknown, expired and another's session are answered alike, with a fresh one", async () => {
  const agent = startAgent();
  agent.verifier.admit("ann's", "ann");
  agent.verifier.admit("bob's", "bob");
  const anns = await conversation(agent, 1, "jwt=ann's");
  const visitors = await conversation(agent, 1);
  const never = "11111111-1111-4111-8111-111111111111";
  const attempts = [
    `jwt=bob's&session_id=${anns.sessionId}&last_seq=0`,
    `session_id=${anns.sessionId}&last_seq=0`,
    `session_id=${visitors.sessionId}&last_seq=0`,
    `session_id=${visitors.sessionId}&last_seq=0&resume_token=wrong`,
    `session_id=${never}&last_seq=0&resume_token=${visitors.welcome.resume_token}`,
    `session_id=${encodeURIComponent("' or 1=1 --")}&last_seq=2`,
  ];
  for (const attempt of attempts) {
    const client = await agent.connect(attempt);
    assert.deepEqual(client.welcome.resumed, {
      recovered: false,
      from_seq: 1,
      to_seq: 0,
      reason: "unknown_session",
    }, attempt);
    assert.equal(client.frames.length, 1);
    assert.notEqual(client.sessionId, anns.sessionId);
    assert.notEqual(client.sessionId, visitors.sessionId);
  }
});

Deno.test("[RS5] the resume token may come as a subprotocol, and holds for whoever has it", async () => {
  const agent = startAgent();
  agent.verifier.admit("ann's", "ann");
  const visitor = await conversation(agent, 1);
  const query = `session_id=${visitor.sessionId}`;
  const protocols = {
    "sec-websocket-protocol": `agent-websocket.v1, resume-${visitor.welcome.resume_token}`,
  };
  assert.deepEqual((await agent.connect(query, protocols)).seqs, [1, 2]);
  const signedIn = await agent.connect(`jwt=ann's&${visitor.resumeQuery(0)}`);
  assert.deepEqual(signedIn.seqs, [1, 2]);
  assert.equal(signedIn.welcome.resume_token, visitor.welcome.resume_token);
});

Deno.test("[RS4] a cursor ahead of the log gets all there is, and is told so", async () => {
  const agent = startAgent();
  const client = await conversation(agent, 2);
  const again = await agent.connect(client.resumeQuery(99));
  assert.deepEqual(again.welcome.resumed, {
    recovered: false,
    from_seq: 1,
    to_seq: 4,
    reason: "cursor_ahead",
  });
  assert.deepEqual(again.seqs, [1, 2, 3, 4]);
});

Deno.test("[RS6] a running turn is announced by its text so far, after the replay", async () => {
  const agent = startAgent();
  const client = await agent.connect();
  client.ask("long", { id: "a" });
  await settle();
  agent.model.last.say("One, ");
  agent.model.last.say("two, ");
  const watcher = await agent.connect(`stream=true&${client.resumeQuery(0)}`);
  const silent = await agent.connect(client.resumeQuery(0));
  assert.deepEqual(watcher.frames.map(({ type }) => type), ["notification", "query", "delta"]);
  assert.deepEqual([watcher.only("delta").offset, watcher.only("delta").content], [0, "One, two, "]);
  agent.model.last.say("three.");
  assert.deepEqual(watcher.of("delta").at(-1)?.offset, 10);
  assert.equal(watcher.textOf(watcher.only("query").turn_id), "One, two, three.");
  assert.equal(silent.of("delta").length, 0);
});

Deno.test("[SQ3] events committed during a paced replay wait their turn", async () => {
  const agent = startAgent();
  const client = await conversation(agent, 150);
  // A client that reads nothing at first: its replay pauses while a turn continues.
  const paused = agent.dial(client.resumeQuery(0));
  paused.stuffing = 1000;
  await until(() => paused.frames.length > 1);
  await settle();
  const shown = paused.seqs.length;
  assert.ok(shown < 300, `${shown} shown to a reader that does not read`);
  client.ask("meanwhile", { id: "m" });
  await settle();
  paused.stuffing = 0;
  paused.bufferedAmount = 0;
  agent.clock.advance(1000);
  await settle(20);
  assert.deepEqual(paused.seqs, Array.from({ length: 302 }, (_, index) => index + 1));
  assert.ok(paused.isOpen);
});

Deno.test("[RS2] [LM4] events that are gone before a slow replay gets to them are no silent hole", async () => {
  const agent = startAgent({ maxEvents: 150 });
  const client = await conversation(agent, 80);
  const slow = agent.dial(client.resumeQuery(0));
  slow.stuffing = 1000;
  await until(() => slow.frames.length > 1);
  await settle();
  for (let turn = 0; turn < 150; turn++) {
    client.ask(`more ${turn}`);
    await settle(1);
  }
  slow.stuffing = 0;
  slow.bufferedAmount = 0;
  agent.clock.advance(1000);
  await settle(20);
  assert.deepEqual(slow.closed, { code: 3008, reason: "Slow consumer" });
  const from = slow.seqs[0] ?? 0;
  assert.deepEqual(slow.seqs, Array.from({ length: slow.seqs.length }, (_, index) => from + index));
});
