/**
 * What a worker sends to other workers of an answer that it writes: only the new text, at the time when it can be sent.
 */

import assert from "node:assert/strict";
import { MemoryStore } from "../../../supabase/functions/_shared/session/memory_store.ts";
import type { CallSource, SessionCall } from "../../../supabase/functions/_shared/protocol/session_call.ts";
import { startAgent, type TestAgent, type TestClient } from "../../support/agent_harness.ts";
import { ManualClock, settle } from "../../support/manual_clock.ts";
import { resumeAt, startTwoWorkers } from "../../support/two_workers.ts";

type Piece = Extract<SessionCall, { kind: "tail" }>;

interface Setting {
  agent: TestAgent;
  client: TestClient;
  /** Sources that wait until they are read. */
  offers: CallSource[];
  /** Reads the waiting source. */
  post(): Pick<Piece, "offset" | "content"> | undefined;
  say(text: string): Promise<void>;
  /** Another worker wants the answer. */
  want(have?: { epoch: number; turnId: string; offset: number }): Promise<void>;
}

/** A worker that answers a query, with another worker that has asked for the text. */
async function setUp(): Promise<Setting> {
  const clock = new ManualClock();
  const offers: CallSource[] = [];
  const store = new MemoryStore({ clock, maxEvents: 1000, leaseMs: 5000 }).forWorker("a");
  const agent = startAgent({
    clock,
    store,
    isDurable: true,
    offer: (_sessionId, source) => offers.push(source),
  });
  const client = await agent.connect("stream=true");
  client.ask("count", { id: "q" });
  await settle();
  const setting: Setting = {
    agent,
    client,
    offers,
    post(): Pick<Piece, "offset" | "content"> | undefined {
      const [source] = offers.splice(0, 1);
      assert.ok(source !== undefined && offers.length === 0, "one source at a time");
      const call = source.make();
      if (call === undefined) return undefined;
      assert.ok(call.kind === "tail");
      return { offset: call.offset, content: call.content };
    },
    async say(text: string): Promise<void> {
      agent.model.last.say(text);
      await settle();
    },
    async want(have): Promise<void> {
      agent.server.receive(client.sessionId, { kind: "tail_wanted", ...(have && { have }) });
      await settle();
    },
  };
  return setting;
}

Deno.test("[RL3] what an answer has gained while a piece waits goes as one piece, and nobody's asking costs nothing", async () => {
  const { offers, post, say, want } = await setUp();
  await say("one");
  assert.deepEqual(offers, []);
  await want();
  for (const word of [" two", " three", " four"]) await say(word);
  assert.deepEqual(post(), { offset: 0, content: "one two three four" });
  await say(" five");
  await say(" six");
  assert.deepEqual(post(), { offset: 18, content: " five six" });
  assert.deepEqual(offers, []);
});

Deno.test("[RL4] a piece that was not taken goes again, with what has come since", async () => {
  const { offers, post, say, want } = await setUp();
  await want();
  await say("one");
  assert.deepEqual(post(), { offset: 0, content: "one" });
  await say(" two");
  const [failing] = offers;
  assert.deepEqual(post(), { offset: 3, content: " two" });
  await say(" three");
  failing?.onFailed();
  assert.deepEqual(post(), { offset: 3, content: " two three" });
});

Deno.test("[RL3] who asks says what it has, and gets what is beyond it; of another epoch or turn, all", async () => {
  const { client, post, say, want } = await setUp();
  await say("one two");
  const turnId = String(client.of("delta")[0]?.turn_id);
  await want();
  assert.deepEqual(post(), { offset: 0, content: "one two" });
  await want({ epoch: 1, turnId, offset: 7 });
  assert.equal(post(), undefined);
  await want({ epoch: 1, turnId, offset: 3 });
  assert.deepEqual(post(), { offset: 3, content: " two" });
  await want({ epoch: 2, turnId, offset: 7 });
  assert.deepEqual(post(), { offset: 0, content: "one two" });
  await want({ epoch: 1, turnId: crypto.randomUUID(), offset: 7 });
  assert.deepEqual(post(), { offset: 0, content: "one two" });
});

Deno.test("[RL3] a long answer goes in pieces, each small enough whatever is in it", async () => {
  const { offers, post, say, want } = await setUp();
  // Six bytes of JSON each.
  const text = "\u0001".repeat(50_000);
  await say(text);
  await want();
  let received = "";
  while (offers.length > 0) {
    const piece = post();
    assert.ok(piece !== undefined && JSON.stringify(piece.content).length < 115_000);
    assert.equal(piece.offset, received.length);
    received += piece.content;
    await settle(1);
  }
  assert.equal(received, text);
});

Deno.test("[RL3] once the end of an answer is in the log no piece of it is sent", async () => {
  const { agent, offers, post, say, want } = await setUp();
  await want();
  await say("one");
  agent.model.last.finish(" two");
  await settle();
  assert.equal(post(), undefined);
  assert.deepEqual(offers, []);
});

Deno.test("[RL3] [DL2] pieces that come twice, or to somebody else, are shown once", async () => {
  const { a, b, client } = await startTwoWorkers({ asks: { q: "count" } });
  a.model.last.say("one");
  const first = await resumeAt(b, client, 0);
  await settle();
  a.model.last.say(" two");
  await settle();
  const [piece] = first.of("delta");
  const shown = first.of("delta").map(({ offset, content }) => [offset, content]);
  assert.deepEqual(shown, [[0, "one"], [3, " two"]]);
  const turnId = String(piece?.turn_id);
  const again = { kind: "tail", epoch: 1, turnId, queryId: "q" } as const;
  b.server.receive(client.sessionId, { ...again, offset: 0, content: "one two" });
  b.server.receive(client.sessionId, { ...again, offset: 3, content: " two three" });
  await settle();
  assert.deepEqual(first.of("delta").map(({ offset, content }) => [offset, content]), [
    ...shown,
    [7, " three"],
  ]);
});
