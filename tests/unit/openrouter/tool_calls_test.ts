import assert from "node:assert/strict";
import fc from "fast-check";
import {
  MAX_TOOL_CALLS,
  ToolCallAssembler,
  type ToolCallOptions,
} from "../../../supabase/functions/_shared/openrouter/tool_calls.ts";
import {
  CALL_STYLES,
  callDeltas,
  type CallStyle,
  keepsIds,
  type WantedCall,
} from "../../support/tool_call_streams.ts";

const NAMES = ["find_orders", "refund_order", "get", "get_time"];

function assemblerOf(options: Partial<ToolCallOptions> = {}): ToolCallAssembler {
  return new ToolCallAssembler({ names: new Set(NAMES), usedIds: new Set(), random: () => 0, ...options });
}

/** Each list is the `tool_calls` of one delta. Returns names and arguments. */
function assemble(...lists: unknown[][]): [name: string, input: string][] {
  const assembler = assemblerOf();
  for (const list of lists) assembler.add(list);
  return assembler.calls().map(({ name, arguments: input }) => [name, input]);
}

const fn = (name?: unknown, input?: unknown): object => ({ function: { name, arguments: input } });

Deno.test("ToolCallAssembler: whatever the style of the server and its cuts, the calls are the same", () => {
  const call = fc.record({
    name: fc.constantFrom("find_orders", "refund_order"),
    input: fc.dictionary(
      fc.string({ maxLength: 4 }),
      fc.oneof(fc.string({ maxLength: 6 }), fc.integer(), fc.constant({ a: {} })),
      {
        minKeys: 1,
        maxKeys: 3,
      },
    ),
  });
  const cuts = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 4 });
  const styles = fc.constantFrom(...Object.keys(CALL_STYLES) as CallStyle[]);
  fc.assert(fc.property(fc.array(call, { minLength: 1, maxLength: 4 }), cuts, styles, (list, cut, style) => {
    // Two equal calls without ids cannot be told from one that is repeated.
    const calls: WantedCall[] = list.map(({ name, input }, index) => ({
      id: `call_${index}`,
      name,
      arguments: JSON.stringify({ ...input, n: index }),
    }));
    const assembler = assemblerOf();
    for (const { tool_calls } of callDeltas(style, calls, cut) as { tool_calls: unknown[] }[]) {
      assembler.add(tool_calls);
    }
    const made = assembler.calls();
    assert.deepEqual(
      made.map(({ name, arguments: input }) => [name, input]),
      calls.map(({ name, arguments: input }) => [name, input]),
    );
    if (keepsIds(style)) assert.deepEqual(made.map(({ id }) => id), calls.map(({ id }) => id));
    else assert.ok(made.every(({ id }) => /^[a-z0-9]{9}$/.test(id)));
    assert.equal(new Set(made.map(({ id }) => id)).size, calls.length);
  }));
});

Deno.test("ToolCallAssembler: several calls in one delta, without indexes", () => {
  assert.deepEqual(
    assemble([fn("get", ""), fn("get", "")], [fn(undefined, '{"a":'), fn(undefined, '{"b":')], [
      fn(undefined, "1}"),
      fn(undefined, "2}"),
    ]),
    [["get", '{"a":1}'], ["get", '{"b":2}']],
  );
});

Deno.test("ToolCallAssembler: fragments without an index or with one that nobody has begun go to the newest call", () => {
  const id = { index: 0, id: "a" };
  assert.deepEqual(
    assemble([{ ...id, ...fn("get", "{") }], [fn(null, '"a"')], [{ index: 7, ...fn("", ":1}") }]),
    [
      ["get", '{"a":1}'],
    ],
  );
  assert.deepEqual(assemble([fn("get", "")], [{ index: 0, ...fn(undefined, "{}") }]), [["get", "{}"]]);
});

Deno.test("ToolCallAssembler: a name in pieces, repeated, growing, or after its id", () => {
  assert.deepEqual(assemble([fn("get_", "")], [fn("time", "")], [fn(null, "{}")]), [["get_time", "{}"]]);
  assert.deepEqual(assemble([{ index: 0, ...fn("get", "") }], [{ index: 0, ...fn("_time", "") }]), [[
    "get_time",
    "{}",
  ]]);
  assert.deepEqual(assemble([fn("find_", "")], [fn("find_orders", "")]), [["find_orders", "{}"]]);
  assert.deepEqual(assemble([{ index: 0, id: "a" }], [{ index: 0, ...fn("get", "{}") }]), [["get", "{}"]]);
  assert.deepEqual(assemble([{ id: "a" }], [fn("get", "{}")]), [["get", "{}"]]);
  assert.deepEqual(assemble([fn("get", "")], [fn("get", '{"a":')], [fn("get", "1}")]), [["get", '{"a":1}']]);
});

Deno.test("ToolCallAssembler: no arguments are an empty object", () => {
  for (const input of ["", null, undefined, " ", "null", {}]) {
    assert.deepEqual(assemble([fn("get", input)]), [["get", "{}"]]);
  }
});

Deno.test("ToolCallAssembler: arguments that are no JSON stay as they are; an object encoded twice is decoded once", () => {
  for (const input of ['{"a":', "order 1001", "[1]", '"text"', "{'a': 1}"]) {
    assert.deepEqual(assemble([fn("get", input)]), [["get", input]]);
  }
  assert.deepEqual(assemble([fn("get", JSON.stringify('{"a":1}'))]), [["get", '{"a":1}']]);
});

Deno.test("ToolCallAssembler: an input that is sent twice is not doubled, and is one call", () => {
  const whole = { index: 0, id: "a", ...fn("get", '{"a": 1}') };
  assert.deepEqual(
    assemble([{ ...whole, ...fn("get", '{"a":') }], [{ index: 0, ...fn(null, "1}") }], [whole]),
    [
      ["get", '{"a": 1}'],
    ],
  );
  assert.deepEqual(assemble([fn("get", '{"a":1}')], [fn("get", '{"a":1}')]), [["get", '{"a":1}']]);
  // Proxies of Anthropic begin with the empty input of its first event.
  assert.deepEqual(
    assemble([{ ...whole, ...fn("get", "{}") }], [{ index: 0, ...fn(null, '{"a":') }], [
      { index: 0, ...fn(null, "1}") },
    ]),
    [["get", '{"a":1}']],
  );
});

Deno.test("ToolCallAssembler: one input behind another, under the same index, is another call", () => {
  const index = { index: 0 };
  assert.deepEqual(
    assemble([{ ...index, ...fn("get", '{"a":1}') }], [{ ...index, ...fn(null, '{"a":') }], [
      { ...index, ...fn(null, "2}") },
    ]),
    [["get", '{"a":1}'], ["get", '{"a":2}']],
  );
  assert.deepEqual(
    assemble([{ ...index, ...fn("get", '{"a":1}') }], [{ ...index, ...fn("refund_order", "{}") }]),
    [
      ["get", '{"a":1}'],
      ["refund_order", "{}"],
    ],
  );
});

Deno.test("ToolCallAssembler: the same id for all calls is made unique, and ids differ from those in the prompt", () => {
  const assembler = assemblerOf({ usedIds: new Set(["used", "000000000"]) });
  assembler.add([{ index: 0, id: "x", ...fn("get", '{"a":1}') }, {
    index: 1,
    id: "x",
    ...fn("get", '{"a":2}'),
  }]);
  assembler.add([{ index: 2, id: "used", ...fn("get", '{"a":3}') }]);
  assert.deepEqual(assembler.calls().map(({ id }) => id), ["x", "000000001", "000000002"]);
});

Deno.test("ToolCallAssembler: what a provider wants back of a call is kept", () => {
  const assembler = assemblerOf();
  const extra = { google: { thought_signature: "c2ln" } };
  assembler.add([{ index: 0, id: "a", extra_content: extra, ...fn("get", "{}") }]);
  assembler.add([{ index: 0, ...fn(null, "") }]);
  assembler.add([{ index: 1, ...fn("get_time", "") }]);
  assert.deepEqual(assembler.given(), [{ id: "a", extra_content: extra }, {}]);
});

Deno.test("ToolCallAssembler: what is no call, and a call without a name", () => {
  assert.deepEqual(assemble([null, 7, {}, { index: 0, type: "function", function: {} }]), []);
  assert.deepEqual(assemble([fn("", '{"a":1}')]), [["", '{"a":1}']]);
});

Deno.test("ToolCallAssembler: more than 128 calls are a broken stream", () => {
  const assembler = assemblerOf();
  const add = (n: number): unknown => assembler.add([{ index: n, id: `c${n}`, ...fn("get", "{}") }]);
  for (let n = 0; n < MAX_TOOL_CALLS; n++) add(n);
  assert.throws(() => add(MAX_TOOL_CALLS), { code: "model_stream_broken" });
});
