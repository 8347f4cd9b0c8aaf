import assert from "node:assert/strict";
import * as fc from "fast-check";
import { ChunkParser } from "../../../supabase/functions/_shared/openrouter/chunk_parser.ts";

function chunk(content: unknown, more: { delta?: object; choice?: object; chunk?: object } = {}): object {
  const delta = { role: "assistant", content, ...more.delta };
  return {
    id: "gen-1",
    model: "a/b",
    choices: [{ index: 0, delta, finish_reason: null, ...more.choice }],
    ...more.chunk,
  };
}

/** Texts that JSON escapes or not, short and long, and some that look like JSON. */
const text = fc.oneof(
  fc.string({ maxLength: 14 }),
  fc.string({ unit: "grapheme", maxLength: 8 }),
  fc.constantFrom("", "?", "\n", '"', "\\", '","x":"', '"content":"', "\u2028", "😀", "a long word of text"),
);
/** What else a provider may say, and what may be taken for the text. */
const more = fc.constantFrom(
  {},
  { delta: { content: undefined } },
  { delta: { reasoning: "hm" } },
  { delta: { reasoning_details: [{ content: "thought" }] } },
  { delta: { tool_calls: [{ index: 0 }] } },
  { choice: { message: { content: "other" } } },
  { choice: { finish_reason: "stop" } },
  { chunk: { content: "other" } },
  { chunk: { choices: [] } },
  { chunk: { usage: { prompt_tokens: 1 } } },
);
const data = fc.oneof(
  { weight: 6, arbitrary: text.map((content) => JSON.stringify(chunk(content))) },
  fc.tuple(text, more).map(([content, more]) => JSON.stringify(chunk(content, more))),
  // As Python writes it, and with a key that is there twice.
  text.map((content) => JSON.stringify(chunk(content)).replaceAll('":', '": ')),
  text.map((content) => JSON.stringify(chunk(content)).replace('"role"', '"content":"first","role"')),
  text.map((content) => JSON.stringify(chunk(content)).slice(0, -1)),
  fc.json(),
);

function outcome(parse: () => unknown): unknown {
  try {
    return structuredClone(parse());
  } catch (error) {
    return String(error);
  }
}

Deno.test("ChunkParser: as JSON.parse, whatever came before", () => {
  fc.assert(
    fc.property(fc.array(data, { maxLength: 20 }), (all) => {
      const parser = new ChunkParser();
      for (const each of all) {
        assert.deepEqual(outcome(() => parser.parse(each)), outcome(() => JSON.parse(each)));
      }
    }),
    { numRuns: 500 },
  );
});

Deno.test("ChunkParser: a chunk that is like the one before is not parsed again", () => {
  const parser = new ChunkParser();
  parser.parse(JSON.stringify(chunk("", { delta: { role: undefined } })));
  parser.parse(JSON.stringify(chunk("one")));
  const first = parser.parse(JSON.stringify(chunk(" two")));
  for (const text of ["", "three", '"escaped"\n', "a part that V8 would not copy"]) {
    assert.equal(parser.parse(JSON.stringify(chunk(text))), first);
  }
  assert.notEqual(parser.parse(JSON.stringify(chunk("", { choice: { finish_reason: "stop" } }))), first);
});

Deno.test("ChunkParser: of chunks that are never alike no more is learnt, until two are", () => {
  const parser = new ChunkParser();
  const numbered = (n: number): string => JSON.stringify(chunk("x", { chunk: { created: n } }));
  for (let n = 0; n < 20; n++) parser.parse(numbered(n));
  assert.notEqual(parser.parse(numbered(100)), parser.parse(numbered(100)));
  assert.equal(parser.parse(numbered(7)), parser.parse(numbered(7)));
});
