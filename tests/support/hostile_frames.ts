/**
 * Generates frames that a client should not send, and computes what the server must answer. Uses the decoder, which has
 * tests of its own.
 */

import fc from "fast-check";
import type { ErrorCode } from "../../supabase/functions/_shared/errors.ts";
import { decode } from "../../supabase/functions/_shared/protocol/decode.ts";
import { VERBS } from "../../supabase/functions/_shared/protocol/verbs.ts";

/** The default of `MAX_MESSAGE_BYTES`. */
const MAX_MESSAGE_BYTES = 65_536;

export type WireFrame = string | Uint8Array<ArrayBuffer>;

/** What the server must answer to a frame. */
export type Expected =
  | { kind: "refusal"; code: ErrorCode; inReplyTo: string | undefined }
  | { kind: "query" | "answer"; id: string | undefined };

const text = fc.oneof(
  fc.string({ unit: "binary", maxLength: 200 }),
  fc.string({ unit: "grapheme", maxLength: 200 }),
  // Lone surrogates too: JSON can carry them, UTF-8 cannot.
  fc.array(fc.integer({ min: 0xd7f0, max: 0xe010 }), { maxLength: 20 })
    .map((units) => String.fromCharCode(...units)),
  fc.constantFrom("", " ", "\0", "__proto__", "constructor", "toString", "a".repeat(200)),
);
const number = fc.oneof(
  fc.integer(),
  fc.double(),
  fc.constantFrom(-1, 0, 1e308, -1e308, 2 ** 53, Number.MIN_VALUE),
);
const anything = fc.oneof(text, number, fc.boolean(), fc.constant(null), fc.jsonValue({ maxDepth: 3 }));

function mostly<T>(likely: fc.Arbitrary<T>): fc.Arbitrary<unknown> {
  return fc.oneof({ arbitrary: likely, weight: 5 }, { arbitrary: anything, weight: 1 });
}

const verbs = Object.keys(VERBS).filter((verb) => verb !== "delete");
const types = [
  "query",
  "command",
  "command",
  "human_feedback",
  "response",
  "notification",
  "status",
  "delta",
];
const fields = fc.record({
  type: mostly(fc.constantFrom(...types)),
  content: mostly(
    fc.oneof({ arbitrary: fc.constantFrom(...verbs), weight: 4 }, { arbitrary: text, weight: 1 }),
  ),
  id: mostly(fc.uuid()),
  priority: mostly(fc.constantFrom("high", "normal", "low")),
  policy: mostly(fc.constantFrom("queue", "reject", "interrupt", "latest")),
  stream: mostly(fc.boolean()),
  options: mostly(fc.record({
    model: text,
    temperature: number,
    max_tokens: number,
    reasoning: mostly(fc.record({ effort: mostly(fc.constantFrom("none", "high")) })),
  }, { requiredKeys: [] })),
  args: mostly(
    fc.record({ all: fc.boolean(), limit: number, before_seq: number, id: text, token: text }, {
      requiredKeys: [],
    }),
  ),
  turn_id: mostly(fc.uuid()),
  verdict: mostly(fc.constantFrom("approve", "reject", "modify")),
  rating: mostly(fc.constantFrom(-1, 1)),
  approval_id: text,
}, { requiredKeys: [] });

const likelyFrame = fields.map((value) => JSON.stringify(value));
/** Valid frames, mixed in among the invalid ones. */
const goodFrame = fc.oneof(
  fc.tuple(fc.uuid(), text).map(([id, content]) => ({ type: "query", id, content })),
  fc.tuple(fc.uuid(), fc.constantFrom(...verbs)).map(([id, content]) => ({ type: "command", id, content })),
).map((value) => JSON.stringify(value));
/** A text with a piece removed or repeated. */
const mutated = fc.tuple(likelyFrame, fc.nat(), fc.nat({ max: 20 }), fc.boolean()).map(
  ([frame, at, length, twice]) => {
    const start = at % (frame.length + 1);
    return frame.slice(0, start + (twice ? length : 0)) + frame.slice(start + (twice ? 0 : length));
  },
);
const poisoned = fc.tuple(fc.constantFrom("__proto__", "constructor", "prototype"), anything, fc.uuid())
  .map(([key, value, id]) =>
    `{"${key}":${JSON.stringify(value)},"type":"command","content":"ping","id":"${id}"}`
  );
const deep = fc.tuple(fc.constantFrom("[", '{"a":', '{"content":[', '[{"type":'), fc.nat({ max: 5000 }))
  .map(([open, depth]) => open.repeat(depth));
const long = fc.integer({ min: MAX_MESSAGE_BYTES - 50, max: 2 * MAX_MESSAGE_BYTES })
  .map((length) => `{"content":"${"x".repeat(length)}"}`);
const utf8 = (value: string): WireFrame => new TextEncoder().encode(value);

/** Any frame, text or bytes, except `delete`: that command ends the session. */
export const hostileFrame: fc.Arbitrary<WireFrame> = fc.oneof(
  { arbitrary: likelyFrame, weight: 8 },
  { arbitrary: goodFrame, weight: 2 },
  { arbitrary: mutated, weight: 4 },
  { arbitrary: fc.oneof(text, fc.jsonValue().map((value) => JSON.stringify(value))), weight: 3 },
  { arbitrary: poisoned, weight: 1 },
  { arbitrary: deep, weight: 1 },
  { arbitrary: likelyFrame.map(utf8), weight: 2 },
  { arbitrary: fc.uint8Array({ maxLength: 100 }).map((bytes) => Uint8Array.from(bytes)), weight: 1 },
  { arbitrary: long, weight: 1 },
).filter((frame) => {
  const decoded = decode(received(frame));
  return "problem" in decoded || decoded.frame.type !== "command" || decoded.frame.verb !== "delete";
});

/** What the server must answer to a frame. */
export function expectedOf(frame: WireFrame): Expected {
  const data = received(frame);
  const bytes = typeof data === "string" ? new TextEncoder().encode(data).length : data.byteLength;
  if (bytes > MAX_MESSAGE_BYTES) return { kind: "refusal", code: "message_too_large", inReplyTo: undefined };
  const decoded = decode(data);
  if ("problem" in decoded) {
    const { code, inReplyTo } = decoded.problem;
    return { kind: "refusal", code, inReplyTo };
  }
  const { type, id } = decoded.frame;
  return { kind: type === "query" ? "query" : "answer", id };
}

/** The frame as the server receives it: UTF-8 does not carry lone surrogates. */
function received(frame: WireFrame): string | ArrayBuffer {
  return typeof frame === "string" ? frame.toWellFormed() : frame.buffer;
}
