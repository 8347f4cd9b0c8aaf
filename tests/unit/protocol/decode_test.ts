import assert from "node:assert/strict";
import { decode, type FrameProblem } from "../../../supabase/functions/_shared/protocol/decode.ts";
import { serverFrame } from "../../../supabase/functions/_shared/protocol/server_frames.ts";
import { frameOf, problemOf, refusal } from "../../support/decoding.ts";

function bytes(...values: number[]): ArrayBuffer {
  return new Uint8Array(values).buffer;
}

Deno.test("[FR1] decode takes one JSON object", () => {
  assert.deepEqual(frameOf({ type: "query", content: "Hello" }), { type: "query", content: "Hello" });
});

Deno.test("[FR1] decode refuses text that is not JSON", () => {
  for (const text of ["", " ", "hello", "{", "{}{}", "{'a':1}", "undefined", "NaN", '{"content":"a}']) {
    assert.deepEqual(problemOf(text), {
      code: "invalid_json",
      message: "Cannot decode frame: it is not JSON",
    });
  }
});

Deno.test("[FR1] decode refuses JSON that is no object, and says what it got", () => {
  const got: [text: string, name: string][] = [
    ["null", "null"],
    ["[]", "an array"],
    ['[{"content":"a"}]', "an array"],
    ["42", "a number"],
    ["true", "a boolean"],
    ['"hello"', "a string"],
  ];
  for (const [text, name] of got) {
    assert.deepEqual(problemOf(text), {
      code: "invalid_frame",
      message: `Cannot decode frame: expected a JSON object, got ${name}`,
    });
  }
});

Deno.test("[FR1] decode survives deep nesting", () => {
  const deep = "[".repeat(200_000) + "]".repeat(200_000);
  assert.equal(problemOf(deep).code, "invalid_frame");
  assert.equal(problemOf("[".repeat(200_000)).code, "invalid_json");
  assert.ok("frame" in decode(`{"content":"a","extra":${deep}}`));
  assert.equal(problemOf(`{"content":${deep}}`).code, "invalid_frame");
  assert.equal(problemOf(`{"type":${deep},"content":"a"}`).code, "invalid_frame");
  assert.equal(problemOf(`{"content":"a","options":${deep}}`).code, "invalid_frame");
  assert.equal(problemOf(`{"type":"command","content":"ping","args":${deep}}`).code, "invalid_args");
});

Deno.test("[FR1] decode takes 1 MiB of text: its size is the session's to judge", () => {
  const content = "é".repeat(524_288);
  assert.deepEqual(frameOf({ content }), { type: "query", content });
});

Deno.test("[FR2] decode takes a binary frame of UTF-8 JSON", () => {
  const { buffer } = new TextEncoder().encode('{"content":"Grüße 🎉"}');
  assert.deepEqual(decode(buffer), { frame: { type: "query", content: "Grüße 🎉" } });
});

Deno.test("[FR2] decode refuses a binary frame that is not UTF-8", () => {
  for (const data of [bytes(0xff, 0xfe), bytes(0xc3), bytes(0xed, 0xa0, 0x80), bytes(0xf0, 0x9f)]) {
    assert.deepEqual(problemOf(data), {
      code: "invalid_encoding",
      message: "Cannot decode frame: a binary frame must hold UTF-8 JSON text",
    });
  }
  assert.equal(problemOf(bytes()).code, "invalid_json");
  assert.equal(problemOf(bytes(0, 1, 2)).code, "invalid_json");
});

Deno.test("[FR3] a frame without a type is a query", () => {
  assert.deepEqual(frameOf({ content: "Hello", id: "q1" }), { type: "query", content: "Hello", id: "q1" });
  assert.deepEqual(frameOf({ type: null, content: "Hello" }), { type: "query", content: "Hello" });
  assert.equal(refusal({}).code, "content_required");
});

Deno.test("[FR3] the seed's own client frames are taken as they are", () => {
  const timestamp = "2026-01-01T00:00:00.000Z";
  assert.deepEqual(frameOf({ type: "query", content: "Hi", timestamp }), { type: "query", content: "Hi" });
});

Deno.test("[FR4] decode refuses the types that only the server sends", () => {
  // Clients send these two as well.
  const both: readonly string[] = ["query", "tool_result"];
  const types = serverFrame.options.map(({ shape }) => shape.type.value).filter((type) =>
    !both.includes(type)
  );
  assert.deepEqual(types.sort(), [
    "approval_decided",
    "approval_requested",
    "delta",
    "error",
    "heartbeat",
    "notification",
    "reasoning",
    "response",
    "status",
    "tool_call",
    "tool_started",
  ]);
  for (const type of types) {
    assert.deepEqual(refusal({ type, content: "a", id: "q1" }), {
      code: "forbidden_type",
      message: `Cannot accept frame: only the server sends "${type}"`,
      inReplyTo: "q1",
    });
  }
});

Deno.test("[FR5] decode refuses an unknown type without repeating it", () => {
  for (const type of ["", "Query", "secret", "__proto__", "constructor", "toString"]) {
    assert.deepEqual(refusal({ type, content: "a", id: "q1" }), {
      code: "unknown_type",
      message: 'Cannot accept frame: "type" must be query, command, human_feedback or tool_result',
      inReplyTo: "q1",
    });
  }
  for (
    const [type, name] of [[1, "a number"], [true, "a boolean"], [{}, "an object"], [["query"], "an array"]]
  ) {
    const { code, message } = refusal({ type, content: "a" });
    assert.equal(code, "invalid_frame");
    assert.equal(message, `Cannot decode frame: "type" must be a string, got ${name}`);
  }
});

Deno.test("[FR6] a missing or empty content says: Message content is required", () => {
  for (const type of [undefined, "query", "command", "human_feedback"]) {
    for (const content of [undefined, null, "", " ", "\n\t\u00a0"]) {
      assert.deepEqual(refusal({ type, content, id: "q1" }), {
        code: "content_required",
        message: "Message content is required",
        inReplyTo: "q1",
      });
    }
  }
});

Deno.test("[FR6] feedback may leave content out where a verdict or a rating says it", () => {
  const about = { type: "human_feedback", turn_id: "t1" };
  assert.deepEqual(frameOf({ ...about, verdict: "approve" }), { ...about, verdict: "approve", content: "" });
  assert.deepEqual(frameOf({ ...about, rating: -1, content: null }), { ...about, rating: -1, content: "" });
  assert.deepEqual(frameOf({ ...about, content: "Too long" }), { ...about, content: "Too long" });
  assert.equal(refusal({ ...about, verdict: "modify" }).code, "content_required");
  assert.equal(refusal({ ...about, verdict: "modify", rating: 1, content: " " }).code, "content_required");
});

Deno.test("[FR7] unknown extra fields are ignored", () => {
  assert.deepEqual(
    frameOf({ content: "a", extra: 1, seq: 5, options: { top_p: 1, model: "m" } }),
    { type: "query", content: "a", options: { model: "m" } },
  );
  assert.deepEqual(
    frameOf({ type: "command", content: "ping", args: { extra: 1 }, extra: 1 }),
    { type: "command", verb: "ping", id: undefined, args: {} },
  );
});

Deno.test("[FR7] a __proto__ key is one more unknown field", () => {
  const frames = [
    '{"content":"a","__proto__":{"polluted":true,"priority":"high"}}',
    '{"content":"a","constructor":{"prototype":{"polluted":true}}}',
    '{"content":"a","options":{"__proto__":{"polluted":true,"model":"m"}}}',
    '{"type":"command","content":"configure","args":{"__proto__":{"polluted":true,"model":"m"}}}',
    '{"type":"human_feedback","content":"a","__proto__":{"polluted":true,"verdict":"approve"}}',
  ];
  for (const text of frames) {
    const decoded = decode(text);
    assert.ok("frame" in decoded);
    assert.doesNotMatch(JSON.stringify(decoded.frame), /polluted|model|high|approve/);
    assert.equal(Reflect.get(decoded.frame, "polluted"), undefined);
    assert.equal(Reflect.get(decoded.frame, "priority"), undefined);
    assert.equal(Reflect.get({}, "polluted"), undefined);
  }
  assert.equal(problemOf('{"__proto__":{"content":"a"}}').code, "content_required");
});

Deno.test("[FR8] ids are strings of 1 to 128 characters", () => {
  const edge = "x".repeat(128);
  assert.deepEqual(frameOf({ content: "a", id: edge }), { type: "query", content: "a", id: edge });
  const wrong: [id: unknown, message: string][] = [
    ["", "must not be empty"],
    ["x".repeat(129), "must have at most 128 characters"],
    [42, "must be a string"],
    [null, "must be a string"],
    [{}, "must be a string"],
    ["a\ud800", "must be well-formed Unicode"],
  ];
  for (const [id, message] of wrong) {
    // A reply cannot refer to an unusable id: there is no `inReplyTo`.
    const expected = (what: string): FrameProblem => ({
      code: "invalid_frame",
      message: `Cannot accept ${what}: "id" ${message}`,
    });
    assert.deepEqual(refusal({ content: "a", id }), expected("query"));
    assert.deepEqual(refusal({ type: "command", content: "ping", id }), expected("command"));
    assert.deepEqual(refusal({ type: "human_feedback", content: "a", id }), expected("human_feedback"));
    const { code, message: cancel } = refusal({ type: "command", content: "cancel", args: { id } });
    assert.deepEqual([code, cancel], ["invalid_args", `Cannot run cancel: "args.id" ${message}`]);
    const { message: turn } = refusal({ type: "human_feedback", content: "a", turn_id: id });
    assert.equal(turn, `Cannot accept human_feedback: "turn_id" ${message}`);
  }
});

Deno.test("[FR10] a problem names the field and what was expected, never the value", () => {
  const wrong: [fields: object, message: string][] = [
    [{ content: 5 }, 'Cannot accept frame: "content" must be a string, got a number'],
    [{ content: {} }, 'Cannot accept frame: "content" must be a string, got an object'],
    [{ content: ["a"] }, 'Cannot accept frame: "content" must be a string, got an array'],
    [{ priority: "urgent" }, 'Cannot accept query: "priority" must be high, normal or low'],
    [{ policy: "x" }, 'Cannot accept query: "policy" must be queue, reject, interrupt or latest'],
    [{ stream: "true" }, 'Cannot accept query: "stream" must be true or false'],
    [{ options: [] }, 'Cannot accept query: "options" must be an object'],
    [{ options: { model: "" } }, 'Cannot accept query: "options.model" must not be empty'],
    [
      { options: { model: "m".repeat(201) } },
      'Cannot accept query: "options.model" must have at most 200 characters',
    ],
    [{ options: { model: 1 } }, 'Cannot accept query: "options.model" must be a string'],
    [{ options: { temperature: "hot" } }, 'Cannot accept query: "options.temperature" must be a number'],
    [{ options: { temperature: -0.1 } }, 'Cannot accept query: "options.temperature" must be from 0 to 2'],
    [{ options: { temperature: 1e308 } }, 'Cannot accept query: "options.temperature" must be from 0 to 2'],
    [{ options: { max_tokens: 0 } }, 'Cannot accept query: "options.max_tokens" must be 1 or more'],
    [{ options: { max_tokens: -5 } }, 'Cannot accept query: "options.max_tokens" must be 1 or more'],
    [{ options: { max_tokens: 1.5 } }, 'Cannot accept query: "options.max_tokens" must be a whole number'],
    [{ options: { max_tokens: 1e15 } }, 'Cannot accept query: "options.max_tokens" must be at most 1000000'],
    [{ options: { max_tokens: 1e300 } }, 'Cannot accept query: "options.max_tokens" must be a whole number'],
    [{ options: { reasoning: "high" } }, 'Cannot accept query: "options.reasoning" must be an object'],
    ...["max", "High", "", 1, null, undefined].map((effort): [object, string] => [
      { options: { reasoning: { effort } } },
      'Cannot accept query: "options.reasoning.effort" must be none, minimal, low, medium, high or xhigh',
    ]),
  ];
  for (const [fields, message] of wrong) {
    assert.deepEqual(refusal({ content: "a", id: "q1", ...fields }), {
      code: "invalid_frame",
      message,
      inReplyTo: "q1",
    });
  }
  // Enough digits to be Infinity once parsed.
  const huge = problemOf('{"content":"a","options":{"temperature":1e999}}');
  assert.equal(huge.message, 'Cannot accept query: "options.temperature" must be a number');
});

Deno.test("[FR10] feedback's fields are named in the same way", () => {
  const wrong: [fields: object, message: string][] = [
    [{ verdict: "maybe" }, '"verdict" must be approve, reject or modify'],
    [{ rating: 0 }, '"rating" must be -1 or 1'],
    [{ rating: "1" }, '"rating" must be -1 or 1'],
    [{ content: 5 }, '"content" must be a string'],
    [{ approval_id: 7 }, '"approval_id" must be a string'],
  ];
  for (const [fields, message] of wrong) {
    assert.equal(
      refusal({ type: "human_feedback", content: "a", ...fields }).message,
      `Cannot accept human_feedback: ${message}`,
    );
  }
});

Deno.test("[FR10] lone surrogates in text are made well formed", () => {
  assert.deepEqual(frameOf({ content: "a\ud800b", options: { model: "m\udfff" } }), {
    type: "query",
    content: "a\ufffdb",
    options: { model: "m\ufffd" },
  });
  assert.deepEqual(frameOf({ type: "human_feedback", content: "\udc00" }), {
    type: "human_feedback",
    content: "\ufffd",
  });
  assert.deepEqual(frameOf({ type: "command", content: "auth", args: { token: "\ud800" } }), {
    type: "command",
    verb: "auth",
    id: undefined,
    args: { token: "\ufffd" },
  });
  assert.deepEqual(frameOf({ content: "🎉" }), { type: "query", content: "🎉" });
});

Deno.test("[FR10] [TL8] a JSON value is taken as it is, but for lone surrogates; one that nests too deeply is refused", () => {
  const output = { "a\ud800": ["\udc00", 1, null, { b: true }] };
  const frame = frameOf({ type: "tool_result", call_id: "c", output });
  assert.deepEqual(frame, {
    type: "tool_result",
    call_id: "c",
    output: { "a\ufffd": ["\ufffd", 1, null, { b: true }] },
  });
  const nested = (depth: number): unknown => depth === 0 ? 1 : [nested(depth - 1)];
  assert.deepEqual(refusal({ type: "tool_result", call_id: "c", output: nested(101) }), {
    code: "invalid_frame",
    message: 'Cannot accept tool_result: "output" must not be nested more than 100 levels deep',
  });
});
