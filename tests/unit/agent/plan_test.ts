import assert from "node:assert/strict";
import * as z from "zod";
import { tool } from "../../../supabase/functions/_shared/agent/mod.ts";
import type { PlannedCall } from "../../../supabase/functions/_shared/ports/agent.ts";
import { ManualClock, settle } from "../../support/manual_clock.ts";
import { ADA, ANONYMOUS, type TestAgent, testAgent } from "../../support/test_agent.ts";

const refund = tool({
  description: "Refunds an order",
  input: z.object({ order: z.string(), amount: z.number().positive(), note: z.string().default("none") }),
  approval: ({ amount }, { user }) => amount > 20 && user?.role !== "admin",
  idempotent: true,
  execute: () => "done",
});

async function planOne(
  { agent }: TestAgent,
  name: string,
  text: string,
  context = ADA,
): Promise<PlannedCall> {
  const [planned] = await agent.plan([{ id: "1", name, arguments: text }], context);
  assert.ok(planned !== undefined);
  return planned;
}

Deno.test("a call is planned with its checked input, and the calls of a step in their order", async () => {
  const date = tool({ description: "Asks for a date", input: z.object({}) });
  const clean = tool({
    description: "x",
    input: z.object({}),
    approval: true,
    as: "service",
    execute: () => 1,
  });
  const { agent } = testAgent({ tools: { refund, date, clean } });
  const planned = await agent.plan([
    { id: "1", name: "refund", arguments: '{"order":"A1","amount":5}' },
    { id: "2", name: "refund", arguments: '{"order":"A1","amount":50}' },
    { id: "3", name: "date", arguments: "" },
    { id: "4", name: "clean", arguments: "null" },
  ], ADA);
  const input = { order: "A1", amount: 5, note: "none" };
  assert.deepEqual(planned, [
    { name: "refund", input, needs: "nothing", asUser: true, isIdempotent: true },
    { name: "refund", input: { ...input, amount: 50 }, needs: "approval", asUser: true, isIdempotent: true },
    { name: "date", input: {}, needs: "client", asUser: false, isIdempotent: false },
    { name: "clean", input: {}, needs: "approval", asUser: false, isIdempotent: false },
  ]);
});

Deno.test("in an anonymous session no call waits for a user", async () => {
  const planned = await planOne(
    testAgent({ tools: { refund } }),
    "refund",
    '{"order":"A","amount":1}',
    ANONYMOUS,
  );
  assert.equal(planned.asUser, false);
});

Deno.test("a person sees what runs: nothing that the schema drops, and all that it adds", async () => {
  const agent = testAgent({ tools: { refund } });
  const text = '{"order":"A1","amount":30,"__proto__":{"x":1},"approved_by":"the manager"}';
  assert.deepEqual(
    JSON.stringify((await planOne(agent, "refund", text)).input),
    '{"order":"A1","amount":30,"note":"none"}',
  );
});

Deno.test("an input that the schema makes into what is no JSON is kept as it came", async () => {
  const days: unknown[] = [];
  const book = tool({
    description: "x",
    input: z.object({
      day: z.string().transform((day) => new Date(day)),
      count: z.string().transform(Number),
    }),
    execute: (input) => void days.push(input),
  });
  const agent = testAgent({ tools: { book } });
  const given = { day: "2026-01-02", count: "3" };
  const { input } = await planOne(agent, "book", JSON.stringify(given));
  assert.deepEqual(input, given);
  await agent.run("book", input);
  assert.deepEqual(days, [{ day: new Date("2026-01-02"), count: 3 }]);
});

Deno.test("an unknown tool is refused with the names of those there are", async () => {
  const agent = testAgent({ tools: { refund } });
  const { refusal, needs } = await planOne(agent, "refnd", "{}");
  assert.equal(refusal, 'There is no tool named "refnd". The tools are: refund');
  assert.equal(needs, "nothing");
  const long = await planOne(agent, "x".repeat(1000), "{}");
  assert.ok((long.refusal?.length ?? 0) < 200);
  for (const name of ["__proto__", "constructor", "toString"]) {
    assert.match((await planOne(agent, name, "{}")).refusal ?? "", /There is no tool/);
  }
});

Deno.test("arguments that are no JSON object are refused, and quoted in at most 64 characters", async () => {
  const agent = testAgent({ tools: { refund } });
  const broken = await planOne(agent, "refund", '{"order": "A1", ');
  assert.equal(
    broken.refusal,
    'Cannot read the arguments: they are not valid JSON, but "{\\"order\\": \\"A1\\", "',
  );
  assert.equal(broken.input, null);
  for (const text of ["[1]", '"text"', "5", "true"]) {
    assert.match((await planOne(agent, "refund", text)).refusal ?? "", /must be a JSON object/);
  }
  const long = await planOne(agent, "refund", `[${"9".repeat(100_000)}`);
  assert.ok((long.refusal?.length ?? 0) < 200);
});

Deno.test("a wrong input is refused with what was expected", async () => {
  const agent = testAgent({ tools: { refund } });
  const { refusal } = await planOne(agent, "refund", '{"amount":-1}');
  assert.equal(
    refusal,
    "Cannot accept the input: order: Invalid input: expected string, received undefined; " +
      "amount: Too small: expected number to be >0",
  );
});

Deno.test("no message about an input repeats more than 64 characters of it", async () => {
  const strict = tool({
    description: "x",
    input: z.strictObject({ list: z.array(z.number()).optional() }),
    execute: () => 1,
  });
  const agent = testAgent({ tools: { strict } });
  const secret = "s".repeat(500);
  const odd = await planOne(agent, "strict", JSON.stringify({ [secret]: 1, [`${secret} b`]: 2 }));
  assert.match(odd.refusal ?? "", /Unrecognized key/);
  assert.doesNotMatch(odd.refusal ?? "", /s{65}/);
  const many = await planOne(agent, "strict", JSON.stringify({ list: new Array(1000).fill("x") }));
  assert.match(many.refusal ?? "", /and 995 more$/);
  assert.ok((many.refusal?.length ?? 0) < 1500);
});

Deno.test("an approval function that throws, hangs, or says neither yes nor no counts as yes", async () => {
  const clock = new ManualClock();
  const odd = (approval: () => boolean | Promise<boolean>): ReturnType<typeof tool> =>
    tool({ description: "x", input: z.object({}), approval, execute: () => 1 });
  const agent = testAgent({
    tools: {
      throws: odd(() => {
        throw new Error("Bearer abc.def.ghi");
      }),
      rejects: odd(() => Promise.reject(new Error("no"))),
      hangs: odd(() => new Promise(() => {})),
      vague: odd(() => JSON.parse("0")),
      no: odd(() => Promise.resolve(false)),
    },
  }, { clock });
  // Loads what plans, which may take longer than the manual clock waits.
  await agent.agent.plan([], ADA);
  const names = ["throws", "rejects", "hangs", "vague", "no"];
  const planning = agent.agent.plan(names.map((name) => ({ id: name, name, arguments: "{}" })), ADA);
  await settle();
  clock.advance(5000);
  assert.deepEqual((await planning).map(({ needs }) => needs), [
    "approval",
    "approval",
    "approval",
    "approval",
    "nothing",
  ]);
  assert.equal(clock.pending, 0);
  assert.deepEqual(agent.log.events, new Array(3).fill("approval_function_failed"));
  assert.doesNotMatch(JSON.stringify(agent.log.entries), /abc\.def/);
});

Deno.test("an edited input is checked like the model's", async () => {
  const { agent } = testAgent({ tools: { refund } });
  assert.deepEqual(await agent.check("refund", { order: "B", amount: 2, extra: 1 }), {
    input: { order: "B", amount: 2, note: "none" },
  });
  assert.match(
    JSON.stringify(await agent.check("refund", { order: "B", amount: "2" })),
    /amount: Invalid input/,
  );
  assert.match(JSON.stringify(await agent.check("refund", "B")), /expected object/);
  assert.deepEqual(await agent.check("other", {}), { problem: 'There is no tool named "other"' });
});

Deno.test("a schema that throws, or answers later, is a refusal or waited for", async () => {
  const input = z.object({ a: z.string().refine(() => Promise.resolve(true)) });
  const slow = tool({ description: "x", input, execute: () => 1 });
  const broken = tool({
    description: "x",
    input: z.object({
      a: z.string().refine(() => {
        throw new Error("boom");
      }),
    }),
    execute: () => 1,
  });
  const agent = testAgent({ tools: { slow, broken } });
  assert.equal((await planOne(agent, "slow", '{"a":"b"}')).refusal, undefined);
  assert.equal(
    (await planOne(agent, "broken", '{"a":"b"}')).refusal,
    "Cannot accept the input: its schema failed to check it",
  );
});
