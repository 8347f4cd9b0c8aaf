/** Very many frames over real sockets: ten thousand at once, and ten thousand of any kind. */

import assert from "node:assert/strict";
import fc from "fast-check";
import { type AgentProcess, withAgent } from "../support/agent_process.ts";
import { echo, HandModel } from "../support/hand_model.ts";
import { expectedOf, hostileFrame, type WireFrame } from "../support/hostile_frames.ts";
import { eventually } from "../support/local_stack.ts";
import { type AgentClient, connect, of, type SeenFrame, terminal } from "../support/agent_client.ts";

const MIB = 1_048_576;
const FLOOD = 10_000;
/** The heap in which a flood must be processed. A worker on the platform has 256 MiB. */
const HEAP_MIB = 48;
/** Limit for the growth of the heap during a flood, after garbage collection. */
const MAX_HEAP_GROWTH_BYTES = 24 * MIB;
/** Limit for the whole process, including the runtime. */
const MAX_RSS_BYTES = 256 * MIB;
/**
 * The limit of a connection's send buffer. With the default, a client that sends faster than it reads the answers is a
 * slow consumer. On a busy machine these clients would be slow consumers.
 */
const MAX_BUFFERED_BYTES = String(16 * MIB);
/** Limit for a gap in another client's stream during a flood, on a busy machine. */
const MAX_GAP_MS = 5000;

/**
 * Runs `body` while another client receives a stream with a word every 20 ms, and checks that the stream is complete
 * and steady.
 */
async function undisturbed(wsUrl: string, model: HandModel, body: () => Promise<void>): Promise<void> {
  await using neighbour = await connect(`${wsUrl}?stream=true`, {
    headers: { "x-forwarded-for": "192.0.2.7" },
  });
  const id = neighbour.ask(NEIGHBOUR);
  const exchange = await eventually("the neighbour's turn", () => model.exchanges.find(isNeighbours));
  let words = 0;
  const timer = setInterval(() => exchange.say(`${words++} `), 20);
  try {
    await body();
  } finally {
    clearInterval(timer);
  }
  const story = Array.from({ length: words }, (_, word) => `${word} `).join("");
  await neighbour.waitFor(() => neighbour.textOf(id) === story);
  exchange.finish();
  assert.equal((await neighbour.waitFor(terminal(id))).content, story);
  const gaps = neighbour.arrivals.map((at, index) => at - (neighbour.arrivals[index - 1] ?? at));
  assert.ok(Math.max(...gaps) < MAX_GAP_MS, `a gap of ${Math.max(...gaps)} ms`);
}

const NEIGHBOUR = "neighbour, tell me a story";
const isNeighbours = ({ question }: { question: string }): boolean => question === NEIGHBOUR;
const answerOthers = {
  respond: (exchange: Parameters<typeof echo>[0]) => isNeighbours(exchange) ? undefined : echo(exchange),
};

/** Runs `body` and checks the memory growth of the process. */
async function bounded(agent: AgentProcess, body: () => Promise<void>): Promise<void> {
  const before = await agent.memory();
  await body();
  const after = await agent.memory();
  const heap = after.heapUsed + after.external - before.heapUsed - before.external;
  assert.ok(heap < MAX_HEAP_GROWTH_BYTES, `the heap has grown by ${heap} bytes`);
  assert.ok(after.rss < MAX_RSS_BYTES, `${after.rss} bytes resident`);
}

Deno.test("[FR12] [LM9] 10,000 frames at once, without a limit: each is answered", async () => {
  await using model = new HandModel(answerOthers);
  const env = { OPENROUTER_BASE_URL: model.baseUrl, MAX_BUFFERED_BYTES };
  await withAgent({ heapMib: HEAP_MIB, env }, async (agent) => {
    await bounded(agent, () =>
      undisturbed(agent.wsUrl, model, async () => {
        await using client = await connect(agent.wsUrl);
        for (let index = 0; index < FLOOD; index++) {
          if (index % 2 === 0) client.send({ type: "command", content: "ping", id: `ping-${index}` });
          else client.send(`no JSON ${index}`);
        }
        await client.waitFor(() => client.frames.length === 1 + FLOOD, { withinMs: 120_000 });
        const pongs = client.frames.filter(of("status", "pong")).map((frame) => frame.in_reply_to);
        assert.deepEqual(pongs, Array.from({ length: FLOOD / 2 }, (_, index) => `ping-${2 * index}`));
        assert.equal(client.frames.filter(of("error", "invalid_json")).length, FLOOD / 2);
      }));
  });
});

Deno.test("[LM1] [LM2] [FR8] 10,000 frames at once, with the limits: told so, then closed with 1008, not 1006", async () => {
  await using model = new HandModel(answerOthers);
  const env = {
    OPENROUTER_BASE_URL: model.baseUrl,
    RATE_LIMIT_PER_MINUTE: "60",
    RATE_LIMIT_BURST: "20",
  };
  await withAgent({ env, heapMib: HEAP_MIB }, async (agent) => {
    await bounded(agent, () =>
      undisturbed(agent.wsUrl, model, async () => {
        const client = await connect(agent.wsUrl, { headers: { "x-forwarded-for": "198.51.100.1" } });
        for (let index = 0; index < FLOOD; index++) client.send({ type: "command", content: "ping" });
        assert.deepEqual(await client.end(), { code: 1008, reason: "Rate limit abused" });
        const refusals = client.frames.filter(of("error", "rate_limited"));
        assert.equal(refusals.length, 100);
        for (const { retryable, retry_after_ms: afterMs, limit, remaining } of refusals) {
          assert.ok(Number(afterMs) > 0 && Number(afterMs) <= 60_000);
          assert.deepEqual({ retryable, limit, remaining }, { retryable: true, limit: 60, remaining: 0 });
        }
        assert.ok(client.frames.filter(of("status", "pong")).length >= 20, "the burst was served");
        assert.equal(client.frames.at(-1)?.code, "rate_limited");
      }));
    // The limit holds for the address, also on a new connection. Other addresses are not limited.
    await using same = await connect(agent.wsUrl, { headers: { "x-forwarded-for": "198.51.100.1" } });
    assert.equal((await same.command("ping")).code, "rate_limited");
    await using other = await connect(agent.wsUrl, { headers: { "x-forwarded-for": "203.0.113.5" } });
    assert.equal((await other.command("ping")).code, "pong");
  });
});

const BATCH = 100;
const BATCHES = 110;
/** Error codes that only the decoder sends, so that they can be counted. */
const DECODER_CODES = new Set([
  "invalid_json",
  "invalid_encoding",
  "unknown_type",
  "forbidden_type",
  "message_too_large",
  "content_required",
  "unknown_command",
]);

/** Sends frames, waits until all are processed, and compares the answers with the expected ones. */
async function sendAll(client: AgentClient, frames: readonly WireFrame[]): Promise<void> {
  const from = client.frames.length;
  frames.forEach((frame) => client.send(frame));
  const pong = await client.command("ping");
  assert.equal(pong.code, "pong");
  const came = (): SeenFrame[] => client.frames.slice(from);
  const refusals: string[] = [];
  for (const [index, frame] of frames.entries()) {
    const expected = expectedOf(frame);
    if (expected.kind === "refusal") {
      const { code, inReplyTo } = expected;
      if (DECODER_CODES.has(code)) refusals.push(`${code} ${inReplyTo ?? ""}`);
      else {assert.ok(
          came().some((one) => one.code === code && one.in_reply_to === inReplyTo),
          `${index}: ${code}`,
        );}
    } else if (expected.id !== undefined) {
      const { id, kind } = expected;
      // A query can also be refused. The error is then its only answer.
      const isAnswer = (one: SeenFrame): boolean =>
        one.in_reply_to === id && (kind === "answer" || terminal()(one) || one.type === "error");
      await client.waitFor(isAnswer, { from });
    }
  }
  const told = came().filter((one) => one.type === "error" && DECODER_CODES.has(one.code));
  assert.deepEqual(told.map((one) => `${one.code} ${one.in_reply_to ?? ""}`).sort(), refusals.sort());
  assert.ok(!came().some(of("error", "internal")), "a frame caused an internal error");
}

Deno.test("[FR1] [FR7] [FR8] [FR11] [FR12] [QU2] 11,000 frames of any kind on a live session: each has its answer", async () => {
  await using model = new HandModel(answerOthers);
  const env = { OPENROUTER_BASE_URL: model.baseUrl, MAX_QUEUE: "0", MAX_BUFFERED_BYTES };
  await withAgent({ env, heapMib: HEAP_MIB }, async (agent) => {
    await bounded(agent, () =>
      undisturbed(agent.wsUrl, model, async () => {
        await using first = await connect(`${agent.wsUrl}?stream=true`);
        await using second = await connect(`${agent.wsUrl}?${first.resumeQuery()}`);
        let batches = 0;
        const batch = fc.array(hostileFrame, { minLength: BATCH, maxLength: BATCH, size: "max" });
        await fc.assert(
          fc.asyncProperty(batch, (frames) => sendAll(batches++ % 2 === 0 ? first : second, frames)),
          { numRuns: BATCHES, endOnFailure: true },
        );
        assert.ok(batches * BATCH >= 10_000);
        for (const client of [first, second]) {
          assert.equal(client.closed, undefined);
          const fresh = [...new Set(client.seqs)];
          assert.deepEqual(fresh, fresh.toSorted((a, b) => a - b), "durable events in order");
        }
      }));
    assert.ok(!agent.log.some(({ level }) => level === "error"));
  });
});
