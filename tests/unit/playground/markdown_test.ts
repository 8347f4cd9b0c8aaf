import assert from "node:assert/strict";
import fc from "fast-check";
import { parseMarkdown, parseSpans } from "../../../playground/markdown.ts";

Deno.test("markdown: headings, paragraphs, lists and code are told apart", () => {
  const text = "# One *two*\ntext\nmore\n- a\n- b\n  c\n\n3. d\n\n```ts\ncode\n\n# code\n```\nend";
  assert.deepEqual(parseMarkdown(text).map(({ kind }) => kind), [
    "heading",
    "paragraph",
    "list",
    "list",
    "code",
    "paragraph",
  ]);
  const [, , list, ordered, code] = parseMarkdown(text);
  assert.ok(list?.kind === "list" && ordered?.kind === "list" && code?.kind === "code");
  assert.deepEqual(list.items.map(([span]) => span?.text), ["a", "b\nc"]);
  assert.deepEqual([list.isOrdered, ordered.isOrdered], [false, true]);
  assert.equal(code.text, "code\n\n# code");
});

Deno.test("markdown: bold, italic and code are runs; what is not closed stays as it is", () => {
  assert.deepEqual(parseSpans("a **b** *c* `d*e*` 2 * 3 * 4 **f"), [
    { style: "plain", text: "a " },
    { style: "bold", text: "b" },
    { style: "plain", text: " " },
    { style: "italic", text: "c" },
    { style: "plain", text: " " },
    { style: "code", text: "d*e*" },
    { style: "plain", text: " 2 * 3 * 4 **f" },
  ]);
});

Deno.test("markdown: any text, broken off anywhere, loses none of its lines", () => {
  const line = fc.oneof(
    fc.string(),
    fc.constantFrom("```", "# a", "- b", "1. c", "", "  ", "**d", "`e`", "* f *g*"),
  );
  fc.assert(fc.property(fc.array(line), (lines) => {
    const text = lines.join("\n");
    const sources = parseMarkdown(text).map(({ source }) => source).join("\n");
    const kept = (all: string): string[] => all.split("\n").filter((one) => one.trim() !== "");
    assert.deepEqual(kept(sources), kept(text));
  }));
});

Deno.test("markdown: as a text grows, the blocks before the last stay what they were", () => {
  const text = "# T\n\none **two**\n\n- a\n- b\n\n```\nx\n```\n\nlast";
  for (let end = 1; end <= text.length; end++) {
    const blocks = parseMarkdown(text.slice(0, end)).map(({ source }) => source);
    const whole = parseMarkdown(text).map(({ source }) => source);
    assert.deepEqual(blocks.slice(0, -1), whole.slice(0, blocks.length - 1), text.slice(0, end));
  }
});
