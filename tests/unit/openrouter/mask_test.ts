import assert from "node:assert/strict";
import { describe, mask, MAX_DETAIL_CHARS } from "../../../supabase/functions/_shared/openrouter/mask.ts";

Deno.test("mask: takes out the key, and whatever looks like one", () => {
  const cases = [
    ["key my-own.key is bad", "key [masked] is bad"],
    ["sk-or-v1-abcdef0123, sk_live_abcd1234", "[masked], [masked]"],
    ["sb_secret_abc sb_publishable_def", "[masked] [masked]"],
    ['{"authorization":"Bearer abc.def-123"}', '{"authorization":"Bearer [masked]"}'],
    ["jwt eyJhbGciOi.eyJzdWIiOi.c2ln", "jwt [masked]"],
    ["a task, a risk-free desk", "a task, a risk-free desk"],
  ] as const;
  for (const [text, masked] of cases) assert.equal(mask(text, "my-own.key"), masked);
  assert.equal(mask("without a key", undefined), "without a key");
  assert.equal(mask("with an empty one", ""), "with an empty one");
});

Deno.test("mask: cuts to MAX_DETAIL_CHARS, and does not read megabytes for it", () => {
  assert.equal(mask("x".repeat(MAX_DETAIL_CHARS), undefined).length, MAX_DETAIL_CHARS);
  assert.equal(mask("x ".repeat(5_000_000), undefined).length, MAX_DETAIL_CHARS + 1);
});

Deno.test("describe: names an error with its causes", () => {
  assert.equal(describe(new TypeError("outer", { cause: new Error("inner") })), "outer: inner");
  assert.equal(describe("text"), "text");
  const circle = new Error("again");
  circle.cause = circle;
  assert.equal(describe(circle), "again: again: again: again");
});
