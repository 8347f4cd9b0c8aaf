import assert from "node:assert/strict";
import * as z from "zod";
import * as mini from "zod/mini";
import { mcpServer } from "../../../supabase/functions/_shared/agent/mcp.ts";
import { ConfigError } from "../../../supabase/functions/_shared/config.ts";
import {
  defineAgent,
  defineAgents,
  functionTool,
  rpcTool,
  tool,
} from "../../../supabase/functions/_shared/agent/mod.ts";
import { testAgents } from "../../support/test_agent.ts";

function problemsOf(definition: unknown, env: Record<string, string> = {}): readonly string[] {
  try {
    testAgents(definition, { env });
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.problems;
  }
  return [];
}

/** The problems of an agent that has options which the compiler would refuse. */
function problemsIn(options: Record<string, unknown>, env?: Record<string, string>): readonly string[] {
  return problemsOf({ kind: "agent", options }, env).map((problem) => problem.replace("agent.ts: ", ""));
}

function problemsWithInput(input: unknown): string {
  const checked = { ...tool({ description: "x", input: z.object({}), execute: () => 1 }) };
  const problems = problemsIn({ tools: { t: { ...checked, options: { ...checked.options, input } } } });
  return problems.join("\n").replace('tool "t": input ', "");
}

const find = tool({ description: "Finds", input: z.object({ id: z.string() }), execute: () => 1 });

Deno.test("an agent without options has no mistake, and answers as the environment says", async () => {
  const { agents } = testAgents(defineAgent({}), { env: { MAX_STEPS: "7" } });
  const agent = agents();
  assert.ok(agent !== undefined);
  assert.equal(agents("default"), agent);
  assert.equal(agents("other"), undefined);
  assert.equal(agents.withOptions(), undefined);
  assert.equal(agent.hasTools, false);
  assert.equal(agent.maxSteps, 7);
  assert.deepEqual([agent.models, agent.temperature, agent.maxTokens], [undefined, undefined, undefined]);
  const context = { user: { id: undefined, claims: undefined }, sessionId: "s" };
  assert.equal(await agent.instructions(context), undefined);
  assert.deepEqual(await agent.tools(context), []);
});

Deno.test("every mistake of a definition is named at once, with the agent and the tool", () => {
  const bad = tool({ description: " ", input: z.object({}), timeoutMs: 0, execute: () => 1 });
  const problems = problemsOf(defineAgents({
    sales: defineAgent({ temperature: 3, tools: { "find orders": find, bad } }),
    "Support!": defineAgent({ maxSteps: 0 }),
  }, { default: "support" }));
  assert.deepEqual(problems, [
    'agent.ts: agent "sales": temperature must be a number from 0 to 2',
    'agent.ts: agent "sales": tool "find orders": its name must have letters, digits, _ and - only, at most 64',
    'agent.ts: agent "sales": tool "bad": description must be text that is not empty',
    'agent.ts: agent "sales": tool "bad": timeoutMs must be a whole number, 1 or more',
    'agent.ts: agent "Support!": its name must have lower-case letters, digits, _ and - only, at most 64',
    'agent.ts: agent "Support!": maxSteps must be a whole number, 1 or more',
    'agent.ts: there is no agent "support", the default',
  ]);
});

Deno.test("what is no definition is a mistake, whatever it is", () => {
  const expected = ["agent.ts: must export defineAgent({…}) or defineAgents({…}) as its default"];
  for (
    const definition of [undefined, null, {}, [], "agent", { kind: "agent" }, { kind: "agents", agents: {} }]
  ) {
    assert.deepEqual(problemsOf(definition), expected);
  }
  assert.deepEqual(problemsOf(defineAgents({})), ["agent.ts: defineAgents must have at least one agent"]);
});

Deno.test("an unknown option, and an option of another kind of tool, are mistakes", () => {
  assert.deepEqual(problemsIn({ mode: "fast", mcp: "https://x", fallbacks: "a" }), [
    'unknown option "mode"',
    "mcp must be a list of mcpServer({…})",
    "fallbacks must be a list of texts that are not empty",
  ]);
  const options = { description: "x", input: z.object({}), execute: () => 1 };
  assert.deepEqual(problemsIn({ tools: { t: { ...find, options: { ...options, idempotant: true } } } }), [
    'tool "t": unknown option "idempotant"',
  ]);
  assert.deepEqual(problemsIn({ tools: { t: { description: "x" } } }), [
    'tool "t": must be made by tool({…}), functionTool(…) or rpcTool(…)',
  ]);
  const client = tool({ description: "x", input: z.object({}), approval: true, idempotent: true });
  assert.deepEqual(problemsIn({ tools: { client } }), [
    'tool "client": approval needs execute: without it a client runs the call',
    'tool "client": idempotent needs execute: without it a client runs the call',
  ]);
});

Deno.test("tools of functions have names that can be called, and keys that the model cannot set", () => {
  const common = { description: "x", input: z.object({ key: z.string() }) };
  assert.deepEqual(
    problemsIn({
      tools: {
        a: functionTool("../rest/v1/users", common),
        b: rpcTool("refund", { ...common, keyArgument: "key" }),
        c: rpcTool("refund", { ...common, as: "nobody" }),
      },
    }),
    [
      'tool "a": the name of the edge function must have letters, digits, _ and - only',
      'tool "b": keyArgument must not be a property of input: the model would set it',
      'tool "c": as must be "user" or "service": the database needs one of them',
    ],
  );
});

Deno.test("an input that providers refuse is a mistake", () => {
  const tree = z.object({
    name: z.string(),
    get children() {
      return z.array(tree);
    },
  });
  const cases: [input: unknown, problem: RegExp][] = [
    [undefined, /^must be a schema, such as z\.object/],
    [{ id: z.string() }, /^must be a schema, such as z\.object/],
    [mini.object({}), /not of zod\/mini/],
    [z.string(), /^must be an object schema/],
    [z.array(z.string()), /^must be an object schema/],
    [z.union([z.object({ a: z.string() }), z.object({ b: z.string() })]), /refuse a union at the top/],
    [tree, /^must not be recursive/],
    [z.object({ tree }), /^must not be recursive/],
    [z.object({ at: z.date() }), /^has no JSON Schema: Date cannot be represented/],
    [z.object({ id: z.bigint() }), /^has no JSON Schema: BigInt/],
    [z.object({ "order id": z.string() }), /has a property "order id"/],
    [z.object({ a: z.object({ "é": z.string() }) }), /has a property "é"/],
    [z.object({ a: z.string().describe("x".repeat(40_000)) }), /at most 32768 characters/],
  ];
  for (const [input, problem] of cases) assert.match(problemsWithInput(input), problem);
});

Deno.test("what providers accept is sent: closed objects, without $schema and $ref", async () => {
  const address = z.object({ city: z.string() }).meta({ id: "Address" });
  const { agents } = testAgents(defineAgent({
    tools: {
      t: tool({
        description: "x",
        input: z.object({
          from: address,
          to: address.optional(),
          tags: z.record(z.string(), z.number()),
          n: z.int().default(1),
        }),
        execute: () => 1,
      }),
      empty: tool({ description: "y", input: z.object({}) }),
    },
  }));
  const [spec, empty] =
    await agents()?.tools({ user: { id: undefined, claims: undefined }, sessionId: "s" }) ?? [];
  const city = {
    type: "object",
    properties: { city: { type: "string" } },
    required: ["city"],
    additionalProperties: false,
  };
  const { from, to, tags } = Object(spec?.parameters.properties);
  assert.partialDeepStrictEqual(from, city);
  assert.partialDeepStrictEqual(to, city);
  assert.deepEqual(tags.additionalProperties, { type: "number" });
  assert.equal(spec?.parameters.additionalProperties, false);
  assert.deepEqual(spec?.parameters.required, ["from", "tags"]);
  assert.doesNotMatch(JSON.stringify(spec), /\$schema|\$ref|\$defs/);
  assert.deepEqual(empty?.parameters, { type: "object", properties: {}, additionalProperties: false });
});

Deno.test("an intersection stays satisfiable", async () => {
  const { agents } = testAgents(defineAgent({
    tools: {
      t: tool({
        description: "x",
        input: z.object({ both: z.intersection(z.object({ a: z.string() }), z.object({ b: z.string() })) }),
        execute: () => 1,
      }),
    },
  }));
  const [spec] = await agents()?.tools({ user: { id: undefined, claims: undefined }, sessionId: "s" }) ?? [];
  const { both } = Object(spec?.parameters.properties);
  const parts = both.allOf ?? [both];
  const names = parts.flatMap((part: { properties: object }) => Object.keys(part.properties));
  assert.deepEqual(names, ["a", "b"]);
  if (both.allOf !== undefined) assert.ok(parts.every((part: object) => !("additionalProperties" in part)));
});

Deno.test("two tools of one name, those of MCP servers included, are a mistake", () => {
  const mcp = (more: object): object => mcpServer({ url: "https://a.example/mcp", ...more });
  assert.deepEqual(problemsIn({ tools: { search: find }, mcp: [mcp({ tools: ["search"] })] }), [
    'mcp[0]: there are two tools named "search": give the server a name',
  ]);
  assert.deepEqual(problemsIn({ mcp: [mcp({ tools: ["a"] }), mcp({ tools: ["a"] })] }), [
    'mcp[1]: there are two tools named "a": give the server a name',
  ]);
  assert.deepEqual(problemsIn({ mcp: [mcp({ name: "docs" }), mcp({ name: "docs" })] }), [
    'mcp[1]: name "docs" is taken by another server',
  ]);
  assert.deepEqual(
    problemsIn({ tools: { search: find }, mcp: [mcp({ name: "docs", tools: ["search"] })] }),
    [],
  );
  const wrong = '{"url":"ftp://x","approval":"maybe","headers":{"a":1}}';
  assert.deepEqual(
    problemsIn({ mcp: [mcp(JSON.parse(wrong)), mcp({ url: undefined }), { url: "https://x" }] }),
    [
      "mcp[0]: url must be an http or https URL",
      "mcp[0]: approval must be auto, always or never",
      "mcp[0]: headers must be an object of texts, or be a function",
      "mcp[1]: url must be set",
      "mcp[2]: must be made by mcpServer({…}) of _shared/agent/mcp.ts",
    ],
  );
});

Deno.test("models that the endpoint would refuse are a mistake", () => {
  assert.deepEqual(problemsIn({ fallbacks: ["a"] }), ["fallbacks needs model, whose place they take"]);
  const four = { model: "a", fallbacks: ["b", "c", "d"] };
  assert.deepEqual(problemsIn(four), [
    "fallbacks must have at most 2 models, because OpenRouter takes three with model",
  ]);
  assert.deepEqual(problemsIn(four, { OPENROUTER_BASE_URL: "http://localhost:1/v1" }), []);
});

Deno.test("several agents have models, limits and names of their own", () => {
  const { agents } = testAgents(defineAgents({
    sales: defineAgent({ model: "a", fallbacks: ["b", "a"], temperature: 0, maxTokens: 5, maxSteps: 3 }),
    support: defineAgent({ tools: { find } }),
  }, { default: "support" }));
  assert.equal(agents()?.name, "support");
  assert.equal(agents()?.hasTools, true);
  const sales = agents("sales");
  assert.deepEqual([sales?.models, sales?.temperature, sales?.maxTokens, sales?.maxSteps], [
    ["a", "b"],
    0,
    5,
    3,
  ]);
  assert.equal(agents("default"), undefined);
});
