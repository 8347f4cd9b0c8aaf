/** Turns over real sockets, with a model controlled by the test: streaming, tabs, cut connections, cancelling. */

import assert from "node:assert/strict";
import { withAgent } from "../support/agent_process.ts";
import { HandModel } from "../support/hand_model.ts";
import { eventually } from "../support/local_stack.ts";
import { RawSocket } from "../support/raw_socket.ts";
import { RUNTIMES } from "../support/runtimes.ts";
import { type AgentClient, connect, of, terminal } from "../support/agent_client.ts";

/** The time within which a cancel must reach the model: QU10. */
const CANCEL_WITHIN_MS = 1000;

for (const { name, path } of RUNTIMES) {
  Deno.test(`[QU1] [QU2] [DL1] [DL2] [DL3] [SQ1] [MD5] ${name}: one streamed turn`, async () => {
    await using model = new HandModel();
    const env = { OPENROUTER_BASE_URL: model.baseUrl };
    await withAgent({ deno: await path(), env }, async ({ wsUrl }) => {
      await using client = await connect(`${wsUrl}?stream=true`);
      const id = client.ask("What is a WebSocket?");
      const exchange = await model.next();
      assert.deepEqual(exchange.messages.map(({ role }) => role), ["system", "user"]);
      assert.equal(exchange.question, "What is a WebSocket?");
      const thinking = await client.waitFor(of("status", "thinking"));
      assert.equal(thinking.content, "Thinking...");
      assert.equal(thinking.in_reply_to, id);
      assert.equal(thinking.seq, 1);

      // Each piece reaches the client before the model sends the next one.
      let said = "";
      for (const word of ["A pipe ", "with ", "two ", "ends 👩‍🔬", " and ", "no\nlast word"]) {
        exchange.say(word);
        said += word;
        await client.waitFor(() => client.textOf(id) === said);
      }
      exchange.finish();
      const response = await client.waitFor(terminal(id));
      assert.equal(response.type, "response");
      assert.equal(response.content, said);
      assert.equal(response.seq, 2);
      assert.equal(response.finish_reason, "stop");
      assert.equal(response.model, "test/model");
      assert.deepEqual(response.usage, {
        prompt_tokens: 3,
        completion_tokens: 5,
        total_tokens: 8,
        cost: 0.0001,
      });
      assert.equal(client.frames.at(-1), response);
      assert.equal(client.frames.filter(terminal(id)).length, 1);
    });
  });
}

Deno.test("[RS7] [DL1] [QU1] [SQ1] two tabs hold one session, and see one order", async () => {
  await using model = new HandModel();
  await withAgent({ env: { OPENROUTER_BASE_URL: model.baseUrl } }, async ({ wsUrl }) => {
    await using first = await connect(`${wsUrl}?stream=true`);
    await using second = await connect(`${wsUrl}?${first.resumeQuery()}`);
    assert.equal(second.welcome.session_id, first.welcome.session_id);
    assert.deepEqual(second.welcome.resumed, { recovered: true, from_seq: 1, to_seq: 0 });

    const asked = first.ask("from the first tab");
    const exchange = await model.next();
    const echoed = await second.waitFor(of("query"));
    assert.equal(echoed.id, asked);
    assert.equal(echoed.content, "from the first tab");
    const queued = second.ask("from the second tab");
    await first.waitFor((frame) => frame.type === "query" && frame.id === queued);
    exchange.say("An answer");
    await first.waitFor(of("delta"));
    exchange.finish();
    const next = await model.next();
    assert.equal(next.question, "from the second tab");
    next.say("Another");
    next.finish();
    for (const tab of [first, second]) {
      assert.equal((await tab.waitFor(terminal(asked))).content, "An answer");
      assert.equal((await tab.waitFor(terminal(queued))).content, "Another");
      assert.deepEqual(tab.seqs.filter((seq, at) => tab.seqs.indexOf(seq) === at), [1, 2, 3, 4]);
    }
    assert.ok(first.frames.some(of("delta")));
    assert.ok(!second.frames.some(of("delta")), "the second tab did not ask for deltas");
  });
});

/**
 * Sends a query over bare TCP, and cuts the connection after the first delta, without a close frame, as a network
 * failure does.
 */
async function askAndCut(port: number, question: string): Promise<{ query: string; id: string }> {
  using socket = await RawSocket.open(port, { target: "/agent_websocket?stream=true" });
  await socket.answer();
  const read = async (): Promise<Record<string, unknown>> =>
    JSON.parse(new TextDecoder().decode((await socket.frame()).payload));
  const welcome = await read();
  const id = crypto.randomUUID();
  await socket.sendText(JSON.stringify({ type: "query", content: question, id }));
  for (let frame = await read(); frame.type !== "delta"; frame = await read());
  const { session_id: sessionId, resume_token: token } = welcome;
  return { id, query: `session_id=${sessionId}&resume_token=${token}&last_seq=1` };
}

Deno.test("[QU9] [RS1] [RS6] [DL2] a connection cut in the middle of an answer: on resume it goes on", async () => {
  await using model = new HandModel();
  await withAgent({ env: { OPENROUTER_BASE_URL: model.baseUrl } }, async (agent) => {
    const talking = model.next().then((exchange) => {
      exchange.say("Once upon ");
      return exchange;
    });
    const { id, query } = await askAndCut(agent.port, "a story");
    const exchange = await talking;
    await eventually("the end of the connection", async () => (await agent.health()).connections === 0);
    exchange.say("a time ");
    assert.equal((await agent.health()).running_turns, 1);
    assert.equal(exchange.abortedAt, undefined, "a lost connection does not cancel the turn");

    await using client = await connect(`${agent.wsUrl}?stream=true&${query}`);
    assert.deepEqual(client.welcome.resumed, { recovered: true, from_seq: 2, to_seq: 1 });
    const announced = await client.waitFor(of("delta"));
    assert.equal(announced.offset, 0);
    assert.match(announced.content, /^Once upon /);
    exchange.say("there was a socket.");
    await client.waitFor(() => client.textOf(id) === "Once upon a time there was a socket.");
    exchange.finish();
    const response = await client.waitFor(terminal(id));
    assert.equal(response.content, "Once upon a time there was a socket.");
    assert.deepEqual(client.seqs, [2]);
    assert.equal(model.exchanges.length, 1);
  });
});

Deno.test("[QU9] [QU4] [RS1] an answer that nobody was there for waits, and is not asked for again", async () => {
  await using model = new HandModel();
  await withAgent({ env: { OPENROUTER_BASE_URL: model.baseUrl } }, async (agent) => {
    const talking = model.next().then((exchange) => {
      exchange.say("Done ");
      return exchange;
    });
    const { id, query } = await askAndCut(agent.port, "a question");
    const exchange = await talking;
    await eventually("the end of the connection", async () => (await agent.health()).connections === 0);
    exchange.say("while you were away");
    exchange.finish();
    await eventually("the end of the turn", async () => (await agent.health()).running_turns === 0);

    await using client = await connect(`${agent.wsUrl}?${query}`);
    assert.deepEqual(client.welcome.resumed, { recovered: true, from_seq: 2, to_seq: 2 });
    const response = await client.waitFor(terminal(id));
    assert.equal(response.content, "Done while you were away");
    // A client that does not know whether its query arrived sends it again.
    client.ask("a question", { id });
    const repeated = await client.waitFor((frame) => frame.replay === true);
    assert.deepEqual({ ...repeated, replay: undefined }, { ...response, replay: undefined });
    assert.equal(model.exchanges.length, 1);
  });
});

for (const [when, firstWord] of [["before its first word", ""], ["in the middle of it", "Well, "]] as const) {
  Deno.test(`[QU10] [CM2] cancelling an answer ${when} gives up the request to the model within a second`, async () => {
    await using model = new HandModel();
    await withAgent({ env: { OPENROUTER_BASE_URL: model.baseUrl } }, async ({ wsUrl }) => {
      await using client = await connect(`${wsUrl}?stream=true`);
      const id = client.ask("a long story");
      const exchange = await model.next();
      if (firstWord !== "") {
        exchange.say(firstWord);
        await client.waitFor(of("delta"));
      }
      const before = performance.now();
      const answered = await client.command("cancel");
      assert.equal(answered.code, "cancelling");
      const cancelled = await client.waitFor(terminal(id));
      assert.equal(cancelled.code, "cancelled");
      assert.equal(cancelled.partial ?? "", firstWord);
      const abortedAt = await eventually("the end of the request to the model", () => exchange.abortedAt);
      assert.ok(abortedAt - before < CANCEL_WITHIN_MS, `${abortedAt - before} ms`);
      await answersAgain(client, model);
    });
  });
}

async function answersAgain(client: AgentClient, model: HandModel): Promise<void> {
  const id = client.ask("and now?");
  const exchange = await model.next();
  exchange.say("Still here");
  exchange.finish();
  assert.equal((await client.waitFor(terminal(id))).content, "Still here");
}
