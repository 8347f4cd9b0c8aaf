import assert from "node:assert/strict";
import fc from "fast-check";
import {
  dataText,
  errorText,
  jsonText,
  messageOf,
} from "../../../supabase/functions/_shared/agent/tool_result.ts";
import { unwrap } from "../../../supabase/functions/_shared/agent/unwrap.ts";

Deno.test("data is named as the tool's, and is JSON", () => {
  assert.equal(dataText("find", [{ id: 1 }], 200), '{"tool":"find","data":[{"id":1}]}');
  assert.equal(dataText("find", undefined, 200), '{"tool":"find","data":null}');
});

Deno.test("data that is too long is cut, is still JSON, and says how much is missing", () => {
  const rows = Array.from({ length: 100 }, (_, id) => ({ id, note: 'say "hi" \\ 😀' }));
  const text = dataText("find", rows, 500);
  assert.ok(text.length <= 500 && text.length > 480, String(text.length));
  const { tool, data, cut } = JSON.parse(text);
  assert.equal(tool, "find");
  const whole = JSON.stringify(rows);
  assert.ok(whole.startsWith(data));
  assert.equal(cut, `${whole.length - data.length} of ${whole.length} characters are left out`);
});

Deno.test("the limit holds for every value, and the result is always JSON", () => {
  fc.assert(
    fc.property(
      fc.anything({ withBigInt: true, withDate: true, withMap: true, withSet: true }),
      fc.integer({ min: 200, max: 2000 }),
      (value, max) => {
        const text = dataText("t", value, max);
        assert.ok(text.length <= max);
        assert.ok(text.isWellFormed());
        assert.equal(JSON.parse(text).tool, "t");
      },
    ),
    { numRuns: 300 },
  );
});

Deno.test("what JSON does not have is described", () => {
  const circle: Record<string, unknown> = { name: "a" };
  circle.self = circle;
  const twice = { x: 1 };
  const cases: [value: unknown, text: string][] = [
    [10n, '"10"'],
    [circle, '{"name":"a","self":"[circular]"}'],
    [[twice, twice], '[{"x":1},{"x":1}]'],
    [{ at: new Date(0), no: undefined, f: () => 1 }, '{"at":"1970-01-01T00:00:00.000Z"}'],
    [[undefined, Number.NaN], "[null,null]"],
    [new Map([["a", 1n]]), '{"a":"1"}'],
    [new Set(["a"]), '["a"]'],
    [new Uint8Array(3), '"[binary, 3 bytes]"'],
    [{ error: new Error("sk-or-v1-abcdefghij") }, '{"error":{"error":"[masked]"}}'],
    [new Date(Number.NaN), "null"],
    [Symbol("s"), "null"],
  ];
  for (const [value, text] of cases) assert.equal(jsonText(value), text);
  const throws = {
    get bad(): never {
      throw new Error("no");
    },
  };
  assert.equal(jsonText(throws), '"[cannot be read: no]"');
});

Deno.test("objects that share their parts, or are very deep, end", () => {
  let shared: unknown = "x";
  for (let level = 0; level < 60; level++) shared = [shared, shared];
  assert.match(jsonText(shared), /\[left out\]/);
  let deep: unknown = "x";
  for (let level = 0; level < 5000; level++) deep = [deep];
  assert.match(jsonText(deep), /\[too deep\]/);
});

Deno.test("a message has no secrets, and is bounded", () => {
  assert.equal(messageOf(new Error("key sb_secret_abc and hush"), ["hush"]), "key [masked] and [masked]");
  assert.equal(messageOf(new TypeError("")), "TypeError");
  assert.equal(messageOf("text"), "text");
  assert.ok(errorText("t", "x".repeat(1e6)).length < 1100);
});

Deno.test("an answer of supabase-js is its data, or its error", () => {
  assert.deepEqual(unwrap({ data: [1], error: null, status: 200, statusText: "OK", count: null }), {
    data: [1],
  });
  assert.deepEqual(unwrap({ data: null, error: null, status: 200, statusText: "OK", count: 7 }), {
    data: { count: 7 },
  });
  assert.deepEqual(
    unwrap({ data: null, error: { message: "no", code: "42501", details: null, hint: "ask" }, status: 403 }),
    { problem: "no (42501; ask)" },
  );
  assert.deepEqual(unwrap({ data: null, error: new Error("failed") }), { problem: "failed" });
  for (const value of [{ data: 1 }, { data: 1, error: null, mine: 2 }, null, "x", [1]]) {
    assert.deepEqual(unwrap(value), { data: value });
  }
});
