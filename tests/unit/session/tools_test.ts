/** Tools on the wire: steps, approvals, tools of clients, and what clients that know nothing of tools see. */

import assert from "node:assert/strict";
import {
  type SeenFrame,
  startAgent,
  type TestAgent,
  type TestClient,
  until,
} from "../../support/agent_harness.ts";
import { ScriptedAgent } from "../../support/scripted_agent.ts";
import { startWorkers, type TestWorker, type Workers } from "../../support/workers.ts";
import type { ModelToolCall } from "../../../supabase/functions/_shared/ports/model.ts";

const TOOLS = {
  find: {},
  refund: { needs: "approval" },
  pick_date: { needs: "client" },
  mine: { asUser: true },
} as const;

interface Stage {
  agent: TestAgent;
  tools: ScriptedAgent;
  client: TestClient;
}

async function start(query = "stream=true&tools=true"): Promise<Stage> {
  const tools = new ScriptedAgent(TOOLS);
  const agent = startAgent({ agent: tools });
  return { agent, tools, client: await agent.connect(query) };
}

function call(name: string, input: unknown = {}, id = "call00001"): ModelToolCall {
  return { id, name, arguments: JSON.stringify(input) };
}

/** Asks, and lets the model call tools. */
async function askFor({ agent, client }: Stage, calls: readonly ModelToolCall[], text = ""): Promise<void> {
  const asked = agent.model.calls.length;
  client.ask("please", { id: "q" });
  await until(() => agent.model.calls.length > asked);
  agent.model.last.say(text);
  agent.model.last.end({ finishReason: "tool_calls", calls });
}

async function frameOf(client: TestClient, type: string): Promise<SeenFrame> {
  await until(() => client.of(type).length > 0);
  return client.only(type);
}

Deno.test("[TL1] [TL2] a step goes to the log before its call runs, and the model gets the result", async () => {
  const stage = await start();
  const { agent, tools, client } = stage;
  await askFor(stage, [call("find", { status: "open" })], "Let me look.");
  const called = await frameOf(client, "tool_call");
  assert.deepEqual(
    [called.name, called.input, called.step, called.needs, called.text],
    ["find", { status: "open" }, 1, "nothing", "Let me look."],
  );
  await until(() => tools.runs.length === 1);
  assert.equal((await frameOf(client, "tool_started")).call_id, called.call_id);
  assert.equal(tools.last.call.callId, called.call_id);
  const asked = agent.model.calls.length;
  tools.last.end({ outcome: "ok", output: '{"orders":2}' });
  await until(() => agent.model.calls.length > asked);
  const { messages, tools: specs } = agent.model.last.request;
  assert.equal(messages[0]?.content, "You work for a visitor.");
  assert.deepEqual(specs?.map(({ name }) => name), Object.keys(TOOLS));
  assert.deepEqual(messages.slice(2).map(({ role, content }) => [role, content]), [
    ["assistant", "Let me look."],
    ["tool", '{"orders":2}'],
  ]);
  assert.deepEqual(messages[2]?.calls, [{
    id: messages[3]?.callId,
    name: "find",
    arguments: '{"status":"open"}',
  }]);
  agent.model.last.finish("You have two.");
  assert.equal((await frameOf(client, "response")).content, "Let me look.\n\nYou have two.");
  const seqs = client.frames.flatMap(({ seq }) => typeof seq === "number" ? [seq] : []);
  assert.deepEqual(seqs, seqs.map((_, index) => index + 1), "each event has its place");
  assert.deepEqual(tools.ends.map(({ outcome, answer }) => [outcome, answer]), [
    ["response", "Let me look.\n\nYou have two."],
  ]);
});

Deno.test("a later turn is given the text of an answer, and not the calls that led to it", async () => {
  const stage = await start();
  const { agent, tools, client } = stage;
  await askFor(stage, [call("find")], "Let me look.");
  await until(() => tools.runs.length === 1);
  tools.last.end({ outcome: "ok", output: '{"orders":2}' });
  await until(() => agent.model.calls.length === 2);
  agent.model.last.finish("You have two.");
  await frameOf(client, "response");
  client.ask("and now?", { id: "later" });
  await until(() => agent.model.calls.length === 3);
  assert.deepEqual(agent.model.last.request.messages.slice(1).map(({ role, content }) => [role, content]), [
    ["user", "please"],
    ["assistant", "Let me look.\n\nYou have two."],
    ["user", "and now?"],
  ]);
});

Deno.test("[TL3] a client that knows nothing of tools sees a status for each event, and the same text", async () => {
  const stage = await start("stream=true");
  const { agent, tools, client } = stage;
  await askFor(stage, [call("find")], "Hm.");
  await until(() => tools.runs.length === 1);
  tools.last.end({ outcome: "error", output: "no" });
  await until(() => agent.model.calls.length === 2);
  agent.model.last.finish("Sorry.");
  await until(() => client.of("response").length > 0);
  const codes = client.frames.flatMap(({ type, code, seq }) => seq === undefined ? [] : [code ?? type]);
  assert.deepEqual(
    codes,
    ["acknowledged", "tool_call", "tool_started", "tool_result", "response"].map((code) =>
      code === "acknowledged" ? codes[0] : code
    ),
  );
  const known = ["notification", "status", "delta", "response"];
  assert.deepEqual(client.frames.filter(({ type }) => !known.includes(type)), []);
});

Deno.test("[TL4] a call that needs approval runs once it is approved, from any connection, and each sees it", async () => {
  const stage = await start();
  const { agent, tools, client } = stage;
  const other = await agent.connect(`tools=true&${client.resumeQuery(0)}`);
  await askFor(stage, [call("refund", { amount: 25 })]);
  const request = await frameOf(client, "approval_requested");
  assert.deepEqual([request.name, request.input], ["refund", { amount: 25 }]);
  assert.equal(tools.runs.length, 0);
  client.command("status", undefined, "s");
  await until(() => client.of("status", "session_status").length + client.of("status").length > 0);
  other.say({ type: "human_feedback", approval_id: request.approval_id, verdict: "approve", id: "d" });
  await until(() => tools.runs.length === 1);
  for (const each of [client, other]) {
    const decided = await frameOf(each, "approval_decided");
    assert.deepEqual([decided.approval_id, decided.verdict], [request.approval_id, "approve"]);
  }
  assert.equal(other.only("status", "decision_received").in_reply_to, "d");
  tools.last.end({ outcome: "ok", output: "done" });
  await until(() => agent.model.calls.length === 2);
  agent.model.last.finish("Refunded.");
  assert.equal((await frameOf(other, "response")).content, "Refunded.");
});

Deno.test("[TL5] the first decision counts; a second, a forged and a late one change nothing and say so", async () => {
  const stage = await start();
  const { agent, tools, client } = stage;
  await askFor(stage, [call("refund", { amount: 25 })]);
  const { approval_id } = await frameOf(client, "approval_requested");
  client.say({ type: "human_feedback", approval_id: "t:1.1:0", verdict: "approve", id: "forged" });
  client.say({ type: "human_feedback", approval_id, verdict: "reject", content: "too much", id: "first" });
  client.say({ type: "human_feedback", approval_id, verdict: "approve", id: "second" });
  await until(() => client.of("error").length === 2);
  assert.deepEqual(client.of("error").map(({ in_reply_to, code }) => [in_reply_to, code]).sort(), [
    ["forged", "unknown_approval"],
    ["second", "already_decided"],
  ]);
  await until(() => agent.model.calls.length === 2);
  assert.equal(
    agent.model.last.request.messages.at(-1)?.content,
    'The call did not run: the user does not allow it. The user says: "too much"',
  );
  client.say({ type: "human_feedback", approval_id, verdict: "approve", id: "late" });
  await until(() => client.of("error").length === 3);
  assert.equal(client.of("error").at(-1)?.code, "already_decided");
  client.say({ type: "human_feedback", approval_id, verdict: "reject", content: "too much", id: "first" });
  await until(() => client.of("status", "decision_received").length === 2);
  assert.equal(client.of("approval_decided").length, 1);
  agent.model.last.finish("As you like.");
  await frameOf(client, "response");
  assert.equal(tools.runs.length, 0);
});

Deno.test("[TL16] where others approve, the user of the session cannot, except with their role", async () => {
  const tools = new ScriptedAgent(TOOLS);
  const agent = startAgent({ agent: tools, settings: { approvers: ["support"] } });
  const visitor = await agent.connect("tools=true");
  await askFor({ agent, tools, client: visitor }, [call("refund")]);
  const { approval_id } = await frameOf(visitor, "approval_requested");
  const decision = { type: "human_feedback", approval_id, verdict: "approve" };
  visitor.say(decision);
  await until(() => visitor.of("error").length > 0);
  assert.equal(visitor.only("error").code, "forbidden");
  assert.equal(tools.runs.length, 0);

  const claims = { sub: "ada", role: "support", app_metadata: { role: "support" }, user_metadata: {} };
  const admitted = (claims: Record<string, unknown>): string =>
    agent.verifier.admit(`h.${btoa(JSON.stringify(claims)).replaceAll("=", "")}.s`, "ada");
  const ada = await agent.connect(`tools=true&jwt=${admitted(claims)}`);
  await askFor({ agent, tools, client: ada }, [call("refund")]);
  const asked = await frameOf(ada, "approval_requested");
  // What users can change themselves, and the role of the database, are no such role.
  const { app_metadata: _, ...plain } = { ...claims, user_metadata: { role: "support" } };
  const other = await agent.connect(`tools=true&jwt=${admitted(plain)}&${ada.resumeQuery(0)}`);
  other.say({ ...decision, approval_id: asked.approval_id });
  await until(() => other.of("error").length > 0);
  assert.equal(other.only("error").code, "forbidden");
  ada.say({ ...decision, approval_id: asked.approval_id });
  await until(() => tools.runs.length === 1);
});

Deno.test("[TL6] an approval may change the input, if the tool takes it", async () => {
  const stage = await start();
  const { tools, client } = stage;
  await askFor(stage, [call("refund", { amount: 25 })]);
  const { approval_id } = await frameOf(client, "approval_requested");
  client.say({ type: "human_feedback", approval_id, verdict: "modify", input: 3, id: "wrong" });
  await until(() => client.of("error").length === 1);
  assert.equal(client.only("error").content, 'Cannot decide: "input" must be an object');
  client.say({ type: "human_feedback", approval_id, verdict: "modify", input: { amount: 10 }, id: "right" });
  await until(() => tools.runs.length === 1);
  assert.deepEqual(tools.last.call.input, { amount: 10 });
});

Deno.test("[TL7] nobody decides in time: the model is told, and the turn goes on", async () => {
  const stage = await start();
  const { agent, client } = stage;
  await askFor(stage, [call("refund")]);
  await frameOf(client, "approval_requested");
  agent.clock.advance(60_000);
  await until(() => agent.model.calls.length === 2);
  assert.equal(client.only("approval_decided").verdict, "expired");
  assert.match(agent.model.last.request.messages.at(-1)?.content ?? "", /nobody has allowed it in time/);
});

Deno.test("[TL8] a tool of the client is answered by the first connection that does", async () => {
  const stage = await start();
  const { agent, client } = stage;
  await askFor(stage, [call("pick_date")]);
  const { call_id } = await frameOf(client, "tool_call");
  client.say({ type: "tool_result", call_id: "x", output: 1, id: "forged" });
  client.say({ type: "tool_result", call_id, output: { date: "2026-12-01" }, id: "first" });
  client.say({ type: "tool_result", call_id, output: { date: "2026-12-24" }, id: "second" });
  await until(() => agent.model.calls.length === 2 && client.of("error").length === 2);
  assert.deepEqual(client.of("error").map(({ in_reply_to, code }) => [in_reply_to, code]).sort(), [
    ["forged", "unknown_call"],
    ["second", "already_decided"],
  ]);
  assert.equal(agent.model.last.request.messages.at(-1)?.content, '{"date":"2026-12-01"}');
  assert.equal(client.only("tool_result").output, '{"date":"2026-12-01"}');
});

Deno.test("[TL9] a tool that acts as the user waits while the user is not there, and runs with the user's own token", async () => {
  const stage = await start("tools=true");
  const { agent, tools, client } = stage;
  await askFor(stage, [call("find")]);
  await until(() => tools.runs.length === 1);
  client.vanish();
  tools.last.end({ outcome: "ok", output: "1" });
  await until(() => agent.model.calls.length === 2);
  agent.model.last.end({ calls: [call("mine")] });
  await agent.clock.advance(1000);
  await until(() => agent.model.calls.length === 2);
  assert.equal(tools.runs.length, 1);
  const back = await agent.connect(`tools=true&${client.resumeQuery(0)}`);
  await until(() => tools.runs.length === 2);
  assert.equal(tools.last.call.name, "mine");
  tools.last.end({ outcome: "ok", output: "2" });
  await until(() => agent.model.calls.length === 3);
  agent.model.last.finish("Done.");
  assert.equal((await frameOf(back, "response")).content, "Done.");
});

interface DurableStage {
  workers: Workers;
  worker: TestWorker;
  tools: ScriptedAgent;
  client: TestClient;
}

/** A worker on a store that may be slow. Its model has been asked. */
async function startDurable(): Promise<DurableStage> {
  const workers = startWorkers();
  const tools = new ScriptedAgent(TOOLS);
  const worker = workers.start("a", { agent: tools });
  const client = await worker.connect("tools=true");
  client.ask("please", { id: "q" });
  await until(() => worker.model.calls.length === 1);
  return { workers, worker, tools, client };
}

/** Lets time pass until the log has such an event, and no longer. Returns the newest `seq`. */
async function untilLogged({ workers, client }: DurableStage, kind: string): Promise<number> {
  for (;;) {
    await workers.pass(20);
    const { events, lastSeq } = await workers.store.read(client.sessionId, { afterSeq: 0, limit: 100 });
    if (events.some((event) => event.kind === kind)) return lastSeq;
  }
}

/** A call as the user, whose user leaves after its start was written, and before its worker knows that. */
async function leftAtStart(): Promise<DurableStage & { pass(ms: number): Promise<void> }> {
  const stage = await startDurable();
  const { workers, worker, client } = stage;
  worker.latencyMs = 200;
  worker.model.last.end({ calls: [call("mine")] });
  await untilLogged(stage, "tool_started");
  client.vanish();
  const pass = async (ms: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += 100) await workers.pass(100);
  };
  await pass(2000);
  return { ...stage, pass };
}

Deno.test("[TL9] a user who leaves as their call starts, and comes back, finds that it has waited", async () => {
  const { tools, client, worker, pass } = await leftAtStart();
  assert.equal(tools.runs.length, 0);
  await pass(20_000);
  const coming = worker.connect(`tools=true&${client.resumeQuery(0)}`);
  await pass(1000);
  const back = await coming;
  assert.deepEqual(tools.runs.map(({ call }) => call.name), ["mine"]);
  tools.last.end({ outcome: "ok", output: "1" });
  await pass(1000);
  worker.model.last.finish("Done.");
  await pass(1000);
  assert.equal((await frameOf(back, "response")).content, "Done.");
});

Deno.test("[TL9] a call that has started waits half a minute for its user, and then fails without them", async () => {
  const { tools, worker, pass } = await leftAtStart();
  await pass(27_000);
  assert.equal(tools.runs.length, 0);
  await pass(3000);
  assert.equal(tools.runs.length, 1);
  assert.equal(tools.last.options.token, undefined);
  tools.last.end({ outcome: "error", output: "the user was not there" });
  await pass(1000);
  assert.equal(worker.model.calls.length, 2);
});

Deno.test("[TL9] a worker that is replaced while a call waits for its user leaves it to the next one, as unknown", async () => {
  const { tools, client, worker, workers, pass } = await leftAtStart();
  const drained = worker.server.drain("wall_clock");
  await pass(40_000);
  await drained;
  const next = workers.start("b", { agent: tools });
  const back = await next.connect(`tools=true&${client.resumeQuery(0)}`);
  await pass(1000);
  assert.equal(tools.runs.length, 0);
  assert.equal((await frameOf(back, "tool_result")).outcome, "unknown");
  assert.equal(next.model.calls.length, 1);
});

Deno.test("[TL1] a call is counted once, also if its result is read from the log before the answer to its write", async () => {
  const stage = await startDurable();
  const { workers, worker, tools, client } = stage;
  worker.model.last.end({ calls: [call("find")] });
  await until(() => tools.runs.length === 1);
  worker.latencyMs = 200;
  tools.last.end({ outcome: "ok", output: "1" });
  const lastSeq = await untilLogged(stage, "tool_result");
  worker.latencyMs = 0;
  worker.server.receive(client.sessionId, { kind: "appended", seq: lastSeq });
  await frameOf(client, "tool_result");
  assert.doesNotMatch(worker.metrics.render([]), /tool_calls_total\{/);
  await workers.pass(200);
  assert.match(worker.metrics.render([]), /tool_calls_total\{[^}]*"ok"\} 1$/m);
});

Deno.test("[TL10] a stop ends a turn whose tools run: they are aborted, and what came of them is unknown", async () => {
  const stage = await start();
  const { tools, client } = stage;
  await askFor(stage, [call("find"), call("refund", {}, "call00002")]);
  await until(() => tools.runs.length === 1);
  client.command("cancel");
  await until(() => client.of("status", "cancelled").length > 0);
  assert.ok(tools.last.options.signal.aborted);
  assert.equal(client.only("tool_result").outcome, "unknown");
  client.say({
    type: "human_feedback",
    approval_id: client.only("approval_requested").approval_id,
    verdict: "approve",
  });
  await until(() => client.of("error").length > 0);
  assert.equal(client.only("error").code, "unknown_approval");
});

Deno.test("[TL11] a question behind a turn that waits keeps its place, and `interrupt` goes past it", async () => {
  const stage = await start();
  const { agent, client } = stage;
  await askFor(stage, [call("refund")]);
  await frameOf(client, "approval_requested");
  client.ask("and then?", { id: "behind" });
  await until(() => client.of("status").some(({ in_reply_to }) => in_reply_to === "behind"));
  assert.equal(agent.model.calls.length, 1);
  client.ask("stop that", { id: "now", policy: "interrupt" });
  await until(() => agent.model.calls.length === 2);
  assert.equal(client.only("status", "cancelled").in_reply_to, "q");
  assert.equal(agent.model.last.request.messages.at(-1)?.content, "stop that");
});

Deno.test("[TL12] calls that must not run go back to the model, three steps at most; the last step has no tools", async () => {
  const stage = await start();
  const { agent, tools, client } = stage;
  await askFor(stage, [call("nothing_of_this_name")]);
  for (let step = 2; step <= 3; step++) {
    await until(() => agent.model.calls.length === step);
    assert.notEqual(agent.model.last.request.tools, undefined);
    agent.model.last.end({ calls: [call("nothing_of_this_name")] });
  }
  await until(() => agent.model.calls.length === 4);
  assert.equal(agent.model.last.request.tools, undefined);
  agent.model.last.finish("I cannot.");
  await frameOf(client, "response");
  assert.equal(tools.runs.length, 0);
  const short = new ScriptedAgent(TOOLS, { maxSteps: 2 });
  const next = startAgent({ agent: short });
  const asking = { agent: next, tools: short, client: await next.connect("tools=true") };
  await askFor(asking, [call("find")]);
  await until(() => short.runs.length === 1);
  short.last.end({ outcome: "ok", output: "1" });
  await until(() => next.model.calls.length === 2);
  assert.equal(next.model.last.request.tools, undefined);
});

Deno.test("[TL13] the tokens of all steps count for the turn", async () => {
  const stage = await start();
  const { agent, tools, client } = stage;
  const usage = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 };
  client.ask("please", { id: "q" });
  await until(() => agent.model.calls.length === 1);
  agent.model.last.end({ calls: [call("find")], usage });
  await until(() => tools.runs.length === 1);
  tools.last.end({ outcome: "ok", output: "1" });
  await until(() => agent.model.calls.length === 2);
  agent.model.last.end({ usage });
  const { usage: total } = await frameOf(client, "response");
  assert.deepEqual(total, { prompt_tokens: 20, completion_tokens: 10, total_tokens: 30 });
});

Deno.test("[TL14] a new session has the agent that was asked for", async () => {
  const tools = new ScriptedAgent(TOOLS);
  const agents: unknown[] = [];
  const agent = startAgent({
    agentOf: (record) => {
      agents.push(record.agent);
      return record.agent === "support" ? tools : undefined;
    },
  });
  await agent.connect("");
  await agent.connect("agent=support");
  assert.deepEqual(agents, [undefined, "support"]);
});
