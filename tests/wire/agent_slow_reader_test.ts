/**
 * Clients that stop reading, over bare TCP: they are disconnected, memory is bounded, and other clients are not
 * affected.
 */

import assert from "node:assert/strict";
import { serverFrame } from "../../supabase/functions/_shared/protocol/server_frames.ts";
import { type AgentProcess, withAgent } from "../support/agent_process.ts";
import { type Exchange, HandModel } from "../support/hand_model.ts";
import { eventually } from "../support/local_stack.ts";
import { RawSocket } from "../support/raw_socket.ts";
import { connect, terminal } from "../support/agent_client.ts";

const MIB = 1_048_576;
/** V8's heap limit for this worker: less than the data of one flood. */
const HEAP_MIB = 40;
/** Limit for the growth of the heap during a flood, after garbage collection: the session's log and history. */
const MAX_HEAP_GROWTH_BYTES = 16 * MIB;
/** Limit for the peak of the whole process, with the runtime and garbage: the platform's limit for a worker. */
const MAX_RSS_BYTES = 256 * MIB;
/** The interval of the words that another client receives, and the longest gap that is allowed. */
const WORD_EVERY_MS = 20;
const MAX_GAP_MS = 3000;
const NEIGHBOUR = "neighbour";

/** Answers with 1 MiB, in pieces of 16 KiB, as fast as the function reads. */
function flood(exchange: Exchange): void {
  const piece = "x".repeat(16_384);
  for (let pieces = 0; pieces < 64; pieces++) exchange.say(piece);
  exchange.finish();
}

/** Opens a connection that reads its welcome and nothing more. */
async function openAndStopReading({ port }: AgentProcess, query: string): Promise<RawSocket> {
  const socket = await RawSocket.open(port, { target: `/agent_websocket${query}` });
  assert.equal((await socket.answer()).status, 101);
  const { payload } = await socket.frame();
  assert.equal(JSON.parse(new TextDecoder().decode(payload)).code, "connected");
  return socket;
}

/** The peak resident memory of the process while `body` runs. */
async function worstRss(agent: AgentProcess, body: () => Promise<void>): Promise<number> {
  let worst = 0;
  const timer = setInterval(() => worst = Math.max(worst, agent.rssBytes()), 20);
  try {
    await body();
  } finally {
    clearInterval(timer);
  }
  return worst;
}

/** Runs `body` while another client's answer is streaming, and returns the longest gap in that stream. */
async function longestGap(agent: AgentProcess, model: HandModel, body: () => Promise<void>): Promise<number> {
  await using neighbour = await connect(`${agent.wsUrl}?stream=true`);
  const id = neighbour.ask(NEIGHBOUR);
  const exchange = await eventually("the neighbour's turn", () => model.exchanges[0]);
  let words = 0;
  const timer = setInterval(() => exchange.say(`${words++} `), WORD_EVERY_MS);
  await body();
  clearInterval(timer);
  const story = Array.from({ length: words }, (_, word) => `${word} `).join("");
  exchange.finish();
  assert.equal((await neighbour.waitFor(terminal(id))).content, story);
  assert.equal(neighbour.textOf(id), story, "every word arrived unchanged");
  return Math.max(...neighbour.arrivals.slice(1).map((at, index) => at - (neighbour.arrivals[index] ?? at)));
}

/**
 * Reads everything in the socket's buffer: whole frames that match the schema, `seq` without gaps, and a close at the
 * end.
 */
async function readToTheEnd(socket: RawSocket): Promise<number> {
  let lastSeq = 0;
  for (;;) {
    const { opcode, payload } = await socket.frame();
    if (opcode === 9) continue;
    if (opcode === 8) return new DataView(payload.buffer, payload.byteOffset).getUint16(0);
    const frame = serverFrame.parse(JSON.parse(new TextDecoder().decode(payload)));
    if (!("seq" in frame) || frame.seq === undefined || frame.seq === lastSeq) continue;
    assert.ok(frame.type === "response" || frame.seq === lastSeq + 1, `${frame.seq} after ${lastSeq}`);
    lastSeq = frame.seq;
  }
}

interface Flood {
  name: string;
  query: string;
  /** The frame that it sends, and how often. Tens of megabytes come back. */
  frame: Record<string, unknown>;
  times: number;
  /** Whether it is still sending when the server closes. The close is then a reset for it (PROTOCOL.md, gaps). */
  isStillSending?: boolean;
}

const FLOODS: readonly Flood[] = [
  { name: "answers of 1 MiB, streamed", query: "?stream=true", frame: { content: "flood" }, times: 30 },
  {
    name: "answers to commands",
    query: "",
    frame: { type: "command", content: "help" },
    times: 20_000,
    isStillSending: true,
  },
];

for (const { name, query, frame, times, isStillSending = false } of FLOODS) {
  Deno.test(`[LM4] a reader that stops reading, and ${times} ${name}: 3008, memory bounded, and no neighbour waits`, async () => {
    const isNeighbours = ({ question }: Exchange): boolean => question === NEIGHBOUR;
    await using model = new HandModel({
      respond: (exchange) => isNeighbours(exchange) ? undefined : flood(exchange),
    });
    const env = { OPENROUTER_BASE_URL: model.baseUrl, MAX_QUEUE: "0", MAX_HISTORY: "2" };
    await withAgent({ env, heapMib: HEAP_MIB }, async (agent) => {
      const before = await agent.memory();
      const worst = await worstRss(agent, async () => {
        const gap = await longestGap(agent, model, async () => {
          using socket = await openAndStopReading(agent, query);
          for (let sent = 0; sent < times; sent++) {
            const isOut = await socket.sendText(JSON.stringify(frame)).then(() => true, () => false);
            assert.ok(isOut || isStillSending);
            if (!isOut) break;
          }
          const closed = await eventually(
            "the end of the connection",
            () => agent.log.find(({ event }) => event === "connection_closed"),
            30_000,
          );
          assert.equal(closed.closed_with, 3008);
          // It does not read, so it does not answer the close either. It no longer counts as connected.
          assert.equal((await agent.health()).connections, 1);
          await eventually(
            "the end of its turns",
            async () => (await agent.health()).running_turns === 1,
            30_000,
          );
          if (!isStillSending) assert.equal(await readToTheEnd(socket), 3008);
        });
        assert.ok(gap < MAX_GAP_MS, `the longest gap in the other client's stream was ${gap} ms`);
      });
      const after = await agent.memory();
      const growth = after.heapUsed + after.external - before.heapUsed - before.external;
      assert.ok(growth < MAX_HEAP_GROWTH_BYTES, `the heap has grown by ${growth} bytes`);
      assert.ok(worst < MAX_RSS_BYTES, `${worst} bytes resident`);
    });
  });
}
