/** Frames that no client should send, over a real socket: each is answered, and no other client is affected. */

import assert from "node:assert/strict";
import { withAgent } from "../support/agent_process.ts";
import { echo, type Exchange, HandModel } from "../support/hand_model.ts";
import { clientFrame, RawSocket } from "../support/raw_socket.ts";
import { type AgentClient, connect, of, terminal } from "../support/agent_client.ts";

const MAX_MESSAGE_BYTES = 65_536;
const MIB = 1_048_576;
/** Above this multiple of the limit the connection is closed. */
const FAR_OVER = 16;

const frame = (fields: Record<string, unknown>): string => JSON.stringify(fields);
const bytes = (...values: number[]): Uint8Array<ArrayBuffer> => Uint8Array.from(values);
/** A frame of exactly this many bytes. */
const sized = (length: number): string => `{"content":"${"x".repeat(length - 14)}"}`;

const BAD_FRAMES: readonly [name: string, frame: string | Uint8Array<ArrayBuffer>, code: string][] = [
  ["nothing", "", "invalid_json"],
  ["words", "hello", "invalid_json"],
  ["half of an object", '{"content":', "invalid_json"],
  ["two objects", '{"content":"a"}{"content":"b"}', "invalid_json"],
  ["NaN", "NaN", "invalid_json"],
  ["null", "null", "invalid_frame"],
  ["true", "true", "invalid_frame"],
  ["a number", "42", "invalid_frame"],
  ["a huge number", "1e999", "invalid_frame"],
  ["a string", '"hello"', "invalid_frame"],
  ["an array", '["hello"]', "invalid_frame"],
  ["an array of frames", '[{"content":"a"}]', "invalid_frame"],
  ["30,000 open brackets", "[".repeat(30_000), "invalid_json"],
  ["30,000 arrays in each other", "[".repeat(30_000) + "]".repeat(30_000), "invalid_frame"],
  ["10,000 objects in each other", `${'{"a":'.repeat(10_000)}1${"}".repeat(10_000)}`, "content_required"],
  ["a deep content", `{"content":${"[".repeat(30_000)}${"]".repeat(30_000)}}`, "invalid_frame"],
  [
    "deep args",
    `{"type":"command","content":"ping","args":${"[".repeat(9000)}${"]".repeat(9000)}}`,
    "invalid_args",
  ],
  ["an unknown type", frame({ type: "subscribe", content: "x" }), "unknown_type"],
  ["a type that is no string", frame({ type: 7, content: "x" }), "invalid_frame"],
  ["a type off the prototype", frame({ type: "constructor", content: "x" }), "unknown_type"],
  ...["response", "notification", "status", "error", "delta", "reasoning", "heartbeat"].map((type) =>
    [`the server's own ${type}`, frame({ type, content: "x" }), "forbidden_type"] as [string, string, string]
  ),
  ["no content", frame({ type: "query" }), "content_required"],
  ["an empty object", "{}", "content_required"],
  ["an empty content", frame({ content: "" }), "content_required"],
  ["a blank content", frame({ content: " \t\n\u00a0" }), "content_required"],
  ["a content of null", frame({ content: null }), "content_required"],
  ["a content that is an object", frame({ content: { text: "x" } }), "invalid_frame"],
  ["a content that is an array", frame({ content: ["x"] }), "invalid_frame"],
  ["a content that is a number", frame({ content: 1 }), "invalid_frame"],
  ["a huge temperature", '{"content":"x","options":{"temperature":1e308}}', "invalid_frame"],
  ["a temperature past all numbers", '{"content":"x","options":{"temperature":1e999}}', "invalid_frame"],
  ["a negative temperature", frame({ content: "x", options: { temperature: -1 } }), "invalid_frame"],
  ["a negative max_tokens", frame({ content: "x", options: { max_tokens: -1 } }), "invalid_frame"],
  ["a huge max_tokens", '{"content":"x","options":{"max_tokens":9007199254740993}}', "invalid_frame"],
  ["a fraction of a token", frame({ content: "x", options: { max_tokens: 1.5 } }), "invalid_frame"],
  [
    "more tokens than allowed",
    frame({ content: "x", options: { max_tokens: 1_000_000 } }),
    "option_not_allowed",
  ],
  ["a model that is not allowed", frame({ content: "x", options: { model: "a/b" } }), "option_not_allowed"],
  ["an id of 129 characters", frame({ content: "x", id: "i".repeat(129) }), "invalid_frame"],
  ["an id with half a character", '{"content":"x","id":"\\ud800"}', "invalid_frame"],
  ["an unknown command", frame({ type: "command", content: "sudo" }), "unknown_command"],
  ["a command off the prototype", frame({ type: "command", content: "__proto__" }), "unknown_command"],
  ["bytes that are no UTF-8", bytes(0x7b, 0xff, 0xfe, 0x7d), "invalid_encoding"],
  ["no bytes", bytes(), "invalid_json"],
  ["bytes of zero", new Uint8Array(1000), "invalid_json"],
  ["bytes that are no JSON", new TextEncoder().encode("hello"), "invalid_json"],
  ["one byte too many", sized(MAX_MESSAGE_BYTES + 1), "message_too_large"],
  ["1 MiB", sized(MIB), "message_too_large"],
  ["1 MiB of bytes", new Uint8Array(MIB), "message_too_large"],
];

/** Unusual but valid frames, with the question that the model must get. */
const ODD_FRAMES: readonly [name: string, frame: string | Uint8Array<ArrayBuffer>, question: string][] = [
  ["bytes that are a frame", new TextEncoder().encode(frame({ content: "bytes" })), "bytes"],
  ["half a character in the content", '{"content":"half \\ud83d here"}', "half \ufffd here"],
  ["__proto__", '{"__proto__":{"type":"error","id":"no"},"content":"proto"}', "proto"],
  ["a constructor", '{"constructor":{"prototype":{}},"content":"constructor"}', "constructor"],
  ["a key twice", '{"content":"first","content":"second"}', "second"],
  ["unknown fields", frame({ content: "more", extra: { a: [1, 2] }, admin: true }), "more"],
  ["a byte order mark in bytes", new TextEncoder().encode(`\ufeff${frame({ content: "mark" })}`), "mark"],
  ["the largest", sized(MAX_MESSAGE_BYTES), "x".repeat(MAX_MESSAGE_BYTES - 14)],
];

/** Runs `body` while the turn of another client is streaming. Every word of that turn must arrive. */
async function besideANeighbour(
  { wsUrl, model }: { wsUrl: string; model: HandModel },
  body: () => Promise<void>,
): Promise<void> {
  await using neighbour = await connect(`${wsUrl}?stream=true`);
  const id = neighbour.ask("neighbour");
  const exchange = await model.next();
  let said = "";
  const timer = setInterval(() => {
    said += `word${said.length} `;
    exchange.say(said.slice(said.lastIndexOf("word")));
  }, 10);
  try {
    await body();
  } finally {
    clearInterval(timer);
  }
  await neighbour.waitFor(() => neighbour.textOf(id) === said);
  exchange.finish();
  assert.equal((await neighbour.waitFor(terminal(id))).content, said);
  assert.ok(!neighbour.frames.some(of("error")));
}

const echoOrWait = (exchange: Exchange): void =>
  exchange.question === "neighbour" ? undefined : echo(exchange);

/** Sends a frame and returns the code of the error that answers it. */
async function refusalOf(
  client: AgentClient,
  bad: string | Uint8Array<ArrayBuffer>,
): Promise<string | undefined> {
  const errors = client.frames.filter(of("error")).length;
  client.send(bad);
  await client.waitFor(() => client.frames.filter(of("error")).length > errors);
  const error = client.frames.findLast(of("error"));
  assert.ok(error !== undefined && error.content.length > 10 && error.retryable === false);
  return error.type === "error" ? error.code : undefined;
}

Deno.test("[FR1] [FR2] [FR4] [FR5] [FR6] [FR9] [FR10] [FR12] every bad frame is answered with its code, and harms nobody", async () => {
  await using model = new HandModel({ respond: echoOrWait });
  await withAgent({ env: { OPENROUTER_BASE_URL: model.baseUrl } }, async (agent) => {
    await besideANeighbour({ wsUrl: agent.wsUrl, model }, async () => {
      await using client = await connect(agent.wsUrl);
      for (const [name, bad, code] of BAD_FRAMES) assert.equal(await refusalOf(client, bad), code, name);
      for (const [name, odd, question] of ODD_FRAMES) {
        const before = client.frames.length;
        client.send(odd);
        const answer = await client.waitFor((one) => client.frames.indexOf(one) >= before && terminal()(one));
        assert.equal(answer.content, `You said: ${question}`, name);
      }
      assert.equal(client.frames.filter(of("error")).length, BAD_FRAMES.length, "one error each");
      const { heapUsed } = await agent.memory();
      assert.ok(heapUsed < 32 * MIB, `${heapUsed} bytes`);
    });
  });
});

Deno.test("[FR9] a frame far over the limit closes with 1009, and not with 1006", async () => {
  await using model = new HandModel({ respond: echoOrWait });
  await withAgent({ env: { OPENROUTER_BASE_URL: model.baseUrl } }, async (agent) => {
    await besideANeighbour({ wsUrl: agent.wsUrl, model }, async () => {
      for (const length of [FAR_OVER * MAX_MESSAGE_BYTES + 1, 8 * MIB, 32 * MIB]) {
        const client = await connect(agent.wsUrl);
        client.send(sized(length));
        // Send more behind it: unread data at the server must not turn the close into a reset.
        for (let count = 0; count < 50; count++) client.send(sized(1000));
        assert.deepEqual(await client.end(), { code: 1009, reason: "Frame too large" }, `${length} bytes`);
        assert.equal(client.frames.length, 1, "no later frame is processed");
      }
      const { heapUsed, external } = await agent.memory();
      assert.ok(heapUsed + external < 32 * MIB, `${heapUsed} + ${external} bytes`);
    });
  });
});

Deno.test("[FR12] what is no WebSocket frame at all ends its connection, and no other", async () => {
  const violations: readonly [name: string, sent: Uint8Array][] = [
    ["text that is no UTF-8", clientFrame(1, bytes(0xff, 0xfe, 0xfd))],
    ["a reserved opcode", clientFrame(3, bytes(1, 2, 3))],
    ["a reserved bit", bytes(0xf1, 0x80, 1, 2, 3, 4)],
    ["a continuation of nothing", clientFrame(0, bytes(1))],
    ["a ping of 1000 bytes", clientFrame(9, new Uint8Array(1000))],
    ["a close with half a code", clientFrame(8, bytes(3))],
    ["a length of 2^62", bytes(0x81, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4)],
    ["HTTP", new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n")],
    ["bytes without meaning", Uint8Array.from({ length: 4096 }, (_, at) => (at * 31) % 256)],
  ];
  await using model = new HandModel({ respond: echoOrWait });
  await withAgent({ env: { OPENROUTER_BASE_URL: model.baseUrl } }, async (agent) => {
    await besideANeighbour({ wsUrl: agent.wsUrl, model }, async () => {
      for (const [name, sent] of violations) {
        using socket = await RawSocket.open(agent.port, { target: "/agent_websocket" });
        assert.equal((await socket.answer()).status, 101, name);
        await socket.write(sent);
        await socket.drain();
      }
    });
    assert.ok(
      agent.log.every(({ level }) => level === "info"),
      "a client's bad input is not logged as a failure",
    );
  });
});
