import assert from "node:assert/strict";
import * as fc from "fast-check";
import {
  decodeFrame,
  encodeBroadcast,
  encodeFrame,
  type UserBroadcast,
} from "../../../../local/realtime/frames.ts";

const utf8 = new TextEncoder();

/** A name that fits into a field with a length of one byte. */
const name = fc.string({ unit: "binary", maxLength: 60 });

const userBroadcast: fc.Arbitrary<UserBroadcast> = fc.record({
  event: name,
  encoding: fc.constantFrom("json", "binary"),
  payload: fc.uint8Array().map((bytes) => Uint8Array.from(bytes)),
}, { noNullPrototype: true });

/** Kind 3, as a client writes it. */
function clientPush(
  fields: readonly string[],
  { event, encoding, payload }: UserBroadcast,
  metadata: string,
): ArrayBuffer {
  const named = [...fields, event, metadata].map((field) => utf8.encode(field));
  const head = [3, ...named.map(({ length }) => length), encoding === "json" ? 1 : 0];
  return Uint8Array.from([...head, ...named.flatMap((field) => [...field]), ...payload]).buffer;
}

Deno.test("decodeFrame reads what a client pushes as bytes", () => {
  fc.assert(fc.property(name, name, name, name, userBroadcast, (joinRef, ref, topic, metadata, push) => {
    const frame = decodeFrame(2, clientPush([joinRef, ref, topic], push, metadata));
    const bytes = push.payload.length;
    assert.deepEqual(frame, { joinRef, ref, topic, event: "broadcast", payload: undefined, push, bytes });
  }));
});

Deno.test("decodeFrame refuses any part of a frame that is cut in its fields", () => {
  const whole = new Uint8Array(
    clientPush(["1", "2", "realtime:ü"], { event: "e", encoding: "json", payload: utf8.encode("{}") }, "{}"),
  );
  for (let length = 0; length < whole.length - 2; length++) {
    assert.equal(decodeFrame(2, whole.slice(0, length).buffer), undefined, `${length} bytes`);
  }
  assert.ok(decodeFrame(2, whole.slice(0, whole.length - 2).buffer));
  // A field that ends in the middle of a character is not valid text.
  const cutLetter = whole.slice();
  cutLetter[3] = (cutLetter[3] ?? 0) - 1;
  assert.equal(decodeFrame(2, cutLetter.buffer), undefined);
});

Deno.test("decodeFrame never throws, and takes no bytes in version 1", () => {
  fc.assert(fc.property(fc.uint8Array(), fc.constantFrom(3, 4, 0), (bytes, kind) => {
    const { buffer } = Uint8Array.from([kind, ...bytes]);
    assert.equal(decodeFrame(1, buffer), undefined);
    if (kind !== 3) assert.equal(decodeFrame(2, buffer), undefined);
    else decodeFrame(2, buffer);
  }));
  fc.assert(
    fc.property(fc.string(), fc.constantFrom(1, 2), (text, version) => void decodeFrame(version, text)),
  );
});

Deno.test("decodeFrame reads both versions of text", () => {
  const ref = fc.oneof(fc.constant(null), fc.string(), fc.integer());
  fc.assert(fc.property(ref, ref, name, name, fc.jsonValue(), (joinRef, ref, topic, event, payload) => {
    const array = JSON.stringify([joinRef, ref, topic, event, payload]);
    const object = JSON.stringify({ topic, event, payload, ref, join_ref: joinRef });
    const frame = { joinRef, ref, topic, event, payload: JSON.parse(JSON.stringify(payload)) };
    assert.deepEqual(decodeFrame(2, array), { ...frame, bytes: array.length });
    assert.deepEqual(decodeFrame(1, object), { ...frame, bytes: object.length });
  }));
  const withoutRefs = JSON.stringify({ topic: "t", event: "e", payload: {} });
  const { joinRef, ref: noRef } = decodeFrame(1, withoutRefs) ?? {};
  assert.deepEqual([joinRef, noRef], [null, null]);
  for (
    const wrong of ["", "null", "7", "[]", '["1","1","t","e"]', '["1","1",7,"e",{}]', '["1",{},"t","e",{}]']
  ) {
    assert.equal(decodeFrame(2, wrong), undefined, wrong);
  }
  for (const wrong of ["[]", "{}", '{"topic":"t"}', '{"topic":"t","event":7}']) {
    assert.equal(decodeFrame(1, wrong), undefined, wrong);
  }
});

Deno.test("encodeFrame leaves join_ref out of version 1", () => {
  const frame = { joinRef: "1", ref: "2", topic: "t", event: "phx_reply", payload: { status: "ok" } };
  assert.equal(encodeFrame(2, frame), '["1","2","t","phx_reply",{"status":"ok"}]');
  assert.equal(
    encodeFrame(1, frame),
    '{"ref":"2","event":"phx_reply","topic":"t","payload":{"status":"ok"}}',
  );
});

Deno.test("encodeBroadcast writes kind 4 for version 2, and JSON or nothing for version 1", () => {
  fc.assert(fc.property(name, userBroadcast, (topic, message) => {
    const { event, encoding, payload } = message;
    const [topicBytes, eventBytes] = [utf8.encode(topic), utf8.encode(event)];
    assert.deepEqual(
      encodeBroadcast(2, topic, { form: "user", message }),
      Uint8Array.from([
        ...[4, topicBytes.length, eventBytes.length, 0, encoding === "json" ? 1 : 0],
        ...topicBytes,
        ...eventBytes,
        ...payload,
      ]),
    );
    const bytes = { ...message, encoding: "binary" } as const;
    assert.equal(encodeBroadcast(1, topic, { form: "user", message: bytes }), undefined);
  }));
  const message = { event: "e", encoding: "json", payload: utf8.encode('{"n":1}') } as const;
  assert.deepEqual(JSON.parse(String(encodeBroadcast(1, "t", { form: "user", message }))), {
    ref: null,
    event: "broadcast",
    topic: "t",
    payload: { event: "e", payload: { n: 1 }, type: "broadcast" },
  });
  const noJson = { ...message, payload: utf8.encode("{") };
  assert.equal(encodeBroadcast(1, "t", { form: "user", message: noJson }), undefined);
});

Deno.test("encodeBroadcast cannot write a name over 255 bytes", () => {
  const message = { event: "ü".repeat(127), encoding: "json", payload: utf8.encode("{}") } as const;
  const long = "ü".repeat(128);
  assert.ok(encodeBroadcast(2, "ü".repeat(127), { form: "user", message }));
  assert.equal(encodeBroadcast(2, long, { form: "user", message }), undefined);
  assert.equal(encodeBroadcast(2, "t", { form: "user", message: { ...message, event: long } }), undefined);
  assert.ok(encodeBroadcast(1, long, { form: "user", message: { ...message, event: long } }));
});
