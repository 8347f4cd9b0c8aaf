import assert from "node:assert/strict";
import fc from "fast-check";
import { ERROR_CODES } from "../../../supabase/functions/_shared/errors.ts";
import type { ClientFrame } from "../../../supabase/functions/_shared/protocol/client_frames.ts";
import { decode } from "../../../supabase/functions/_shared/protocol/decode.ts";
import { decodeByZod } from "../../support/zod_decode.ts";
import { PRIORITIES, QUEUE_POLICIES } from "../../../supabase/functions/_shared/protocol/queueing.ts";
import { REASONING_EFFORTS } from "../../../supabase/functions/_shared/protocol/reasoning_effort.ts";
import { VERBS } from "../../../supabase/functions/_shared/protocol/verbs.ts";

const MAX_MESSAGE_CHARS = 300;
/** In every generated string, and in none of our own messages: so an echo of the user's text is detected. */
const CANARY = "§";

const TYPES = [
  "query",
  "command",
  "human_feedback",
  "tool_result",
  "response",
  "status",
  "error",
  "delta",
  "heartbeat",
];
const VERB_NAMES = Object.keys(VERBS);

/** Any UTF-16, including lone surrogates and control characters. */
const anyText = fc.array(
  fc.oneof(fc.integer({ min: 0, max: 0xffff }), fc.integer({ min: 0xd7ff, max: 0xe000 })),
)
  .map((units) => String.fromCharCode(...units));
const userText = anyText.map((text) => CANARY + text);
const anyNumber = fc.oneof(fc.integer(), fc.double(), fc.constantFrom(-0, 1e308, -1e308, 2 ** 53, -1, 0, 1));
const { value: anyValue } = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    userText,
    anyNumber,
    fc.boolean(),
    fc.constant(null),
    fc.array(tie("value"), { maxLength: 4 }),
    fc.dictionary(
      fc.oneof(userText, fc.constantFrom("__proto__", "constructor", "id", "model")),
      tie("value"),
      {
        maxKeys: 4,
      },
    ),
  ),
}));

function orAnything<T>(likely: fc.Arbitrary<T>): fc.Arbitrary<unknown> {
  return fc.oneof({ arbitrary: likely, weight: 12 }, { arbitrary: anyValue, weight: 1 });
}

const id = fc.oneof(userText, fc.uuid(), fc.nat({ max: 300 }).map((length) => CANARY.repeat(length)));
const options = fc.record({
  model: orAnything(userText),
  temperature: orAnything(anyNumber),
  max_tokens: orAnything(anyNumber),
  reasoning: orAnything(fc.record({ effort: fc.constantFrom(...REASONING_EFFORTS) })),
}, { requiredKeys: [] });

/** The correct keys, with values that are often, but not always, of the correct type. */
const nearFrame = fc.record({
  type: orAnything(fc.constantFrom(...TYPES)),
  content: orAnything(fc.oneof(userText, fc.constantFrom(...VERB_NAMES, "", " "))),
  id: orAnything(id),
  priority: orAnything(fc.constantFrom(...PRIORITIES)),
  policy: orAnything(fc.constantFrom(...QUEUE_POLICIES)),
  stream: orAnything(fc.boolean()),
  options: orAnything(options),
  args: orAnything(fc.oneof(
    options,
    fc.record({ token: orAnything(userText), limit: anyNumber, before_seq: anyNumber, all: anyValue, id }, {
      requiredKeys: [],
    }),
    fc.record({
      title: orAnything(userText),
      session_id: orAnything(id),
      archived: orAnything(fc.boolean()),
      all: orAnything(fc.boolean()),
      search: orAnything(userText),
      before: orAnything(id),
      limit: orAnything(fc.integer({ min: -1, max: 300 })),
      stream: orAnything(fc.boolean()),
    }, { requiredKeys: [] }),
  )),
  turn_id: orAnything(id),
  verdict: orAnything(fc.constantFrom("approve", "reject", "modify")),
  rating: orAnything(fc.constantFrom(-1, 1)),
  approval_id: orAnything(id),
  call_id: orAnything(id),
  input: anyValue,
  output: anyValue,
  error: orAnything(userText),
  ["__proto__"]: anyValue,
  [CANARY]: anyValue,
}, { requiredKeys: [] }).map((value) => JSON.stringify(value));

/** A text in which a few characters are replaced, doubled or left out. */
const mutated = fc.tuple(
  nearFrame,
  fc.array(fc.tuple(fc.nat(), fc.constantFrom("", '"', "{", "}", "[", ",", "\\", "\\ud800", "9", "\0")), {
    maxLength: 3,
  }),
).map(([text, edits]) =>
  edits.reduce((current, [at, by]) => {
    const place = at % (current.length + 1);
    return current.slice(0, place) + by + current.slice(place + 1);
  }, text)
);

const binary = fc.oneof(
  fc.uint8Array({ maxLength: 64 }),
  nearFrame.map((text) => new TextEncoder().encode(text)),
  fc.tuple(nearFrame, fc.nat(), fc.nat({ max: 255 })).map(([text, at, byte]) => {
    const bytes = new TextEncoder().encode(text);
    bytes[at % bytes.length] = byte;
    return bytes;
  }),
).map((bytes) => new Uint8Array(bytes).buffer);

const goodText = fc.string({ unit: "grapheme", minLength: 1 }).filter((text) => text.trim() !== "");
const goodId = fc.string({ unit: "binary", minLength: 1, maxLength: 64 });
const goodOptions = fc.record({
  model: fc.string({ unit: "binary", minLength: 1, maxLength: 100 }),
  temperature: fc.double({ min: 0, max: 2, noNaN: true }).filter((value) => !Object.is(value, -0)),
  max_tokens: fc.integer({ min: 1, max: 1_000_000 }),
  reasoning: fc.record({ effort: fc.constantFrom(...REASONING_EFFORTS) }, { noNullPrototype: true }),
}, { requiredKeys: [], noNullPrototype: true });
const goodFrame = fc.oneof(
  fc.record({
    type: fc.constant("query"),
    content: goodText,
    id: goodId,
    priority: fc.constantFrom(...PRIORITIES),
    policy: fc.constantFrom(...QUEUE_POLICIES),
    stream: fc.boolean(),
    options: goodOptions,
  }, { requiredKeys: ["type", "content"], noNullPrototype: true }),
  fc.record({
    type: fc.constant("human_feedback"),
    content: goodText,
    id: goodId,
    turn_id: goodId,
    verdict: fc.constantFrom("approve", "reject", "modify"),
    rating: fc.constantFrom(-1, 1),
    approval_id: goodId,
  }, { requiredKeys: ["type", "content"], noNullPrototype: true }),
);

const anyFrame = fc.oneof(
  { arbitrary: nearFrame, weight: 5 },
  { arbitrary: goodFrame.map((frame) => JSON.stringify(frame)), weight: 1 },
  { arbitrary: mutated, weight: 2 },
  { arbitrary: anyValue.map((value) => JSON.stringify(value)), weight: 1 },
  { arbitrary: userText, weight: 1 },
  { arbitrary: binary, weight: 2 },
);

/** The only part of a problem that is the sender's own. */
const UNKNOWN_NAME = /(?<=must not have ").{0,64}(?=", known: )|(?<=: ").{0,64}(?=" must not be beside)/s;
/** `-0` is written as 0. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

const UNKNOWN_FIELD = JSON.stringify({ type: "command", content: "archive", args: { [CANARY]: false } });

Deno.test("[FR10] decode: any of 15,000 frames becomes a frame or a problem with our own words", () => {
  let frames = 0;
  let problems = 0;
  fc.assert(
    fc.property(anyFrame, (data) => {
      const decoded = decode(data);
      // The worker's own checks say what the schemas say.
      assert.deepEqual(plain(decoded), plain(decodeByZod(data)));
      if ("frame" in decoded) {
        frames++;
        assert.ok(!("problem" in decoded));
        assertWellFormed(decoded.frame);
        assert.deepEqual(plain(decode(JSON.stringify(onTheWire(decoded.frame)))), plain(decoded));
        return;
      }
      problems++;
      const { code, message, inReplyTo } = decoded.problem;
      assert.ok(ERROR_CODES.includes(code), code);
      assert.ok(message.length <= MAX_MESSAGE_CHARS, message);
      assert.match(message.replace(UNKNOWN_NAME, ""), /^[\x20-\x7e]+$/);
      assert.equal(inReplyTo, usableId(data));
    }),
    { numRuns: 15_000, examples: [[UNKNOWN_FIELD]] },
  );
  assert.deepEqual(Object.keys(Object.prototype), []);
  // A generator that produced only one of them would prove little.
  assert.ok(frames > 1000 && problems > 5000, `${frames} frames, ${problems} problems`);
});

Deno.test("[FR1] [FR2] decode: a valid frame comes out as it went in, as text and as bytes", () => {
  fc.assert(
    fc.property(goodFrame, (frame) => {
      const text = JSON.stringify(frame);
      assert.deepEqual(decode(text), { frame });
      assert.deepEqual(decode(new TextEncoder().encode(text).buffer), { frame });
    }),
    { numRuns: 2000 },
  );
});

Deno.test("[FR11] decode: a valid command comes out as it went in", () => {
  fc.assert(
    fc.property(goodId, goodOptions, fc.boolean(), (key, args, stream) => {
      const wire = { type: "command", content: "configure", id: key, args: { ...args, stream } };
      assert.deepEqual(decode(JSON.stringify(wire)), {
        frame: { type: "command", verb: "configure", id: key, args: wire.args },
      });
    }),
    { numRuns: 1000 },
  );
});

/** A decoded frame as a client would have sent it. */
function onTheWire(frame: ClientFrame): object {
  if (frame.type !== "command") return frame;
  const { verb, ...rest } = frame;
  return { ...rest, content: verb };
}

function assertWellFormed(value: unknown): void {
  if (typeof value === "string") assert.ok(value.isWellFormed());
  if (typeof value === "object" && value !== null) Object.values(value).forEach(assertWellFormed);
}

/** The id that a problem must refer to: the frame's own id, if it can be read and is valid. */
function usableId(data: string | ArrayBuffer): string | undefined {
  try {
    const text = typeof data === "string" ? data : new TextDecoder("utf-8", { fatal: true }).decode(data);
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
    const key: unknown = Reflect.get(value, "id");
    const usable = typeof key === "string" && key.isWellFormed() && key.length >= 1 && key.length <= 128;
    return usable ? key : undefined;
  } catch {
    return undefined;
  }
}
