import assert from "node:assert/strict";
import * as z from "zod";
import { tool } from "../../../supabase/functions/_shared/agent/mod.ts";
import { TOOLS_NOTE } from "../../../supabase/functions/_shared/agent/tool_result.ts";
import { AgentError } from "../../../supabase/functions/_shared/errors.ts";
import { ManualClock, settle } from "../../support/manual_clock.ts";
import { ADA, ANONYMOUS, SESSION_ID, testAgent } from "../../support/test_agent.ts";

const tools = { t: tool({ description: "x", input: z.object({}), execute: () => 1 }) };

Deno.test("instructions are a text, or a function of the user and the session", async () => {
  const fixed = testAgent({ instructions: "Be brief." });
  assert.equal(await fixed.agent.instructions(ADA), "Be brief.");
  const { agent } = testAgent({
    instructions: ({ user, session }) => Promise.resolve(`${user?.email ?? "a visitor"} in ${session.id}`),
  });
  assert.equal(await agent.instructions(ADA), `ada@example.com in ${SESSION_ID}`);
  assert.equal(await agent.instructions(ANONYMOUS), `a visitor in ${SESSION_ID}`);
});

Deno.test("an agent with tools is told that their results are data", async () => {
  const own = testAgent({ instructions: "Be brief.", tools });
  assert.equal(await own.agent.instructions(ADA), `Be brief.\n\n${TOOLS_NOTE}`);
  const environment = testAgent({ tools }, { env: { SYSTEM_PROMPT: "From outside." } });
  assert.equal(await environment.agent.instructions(ADA), `From outside.\n\n${TOOLS_NOTE}`);
});

Deno.test("instructions that throw, hang or are no text fail the turn: no answer is given without them", async () => {
  const clock = new ManualClock();
  const failing: (() => string | Promise<string>)[] = [
    () => {
      throw new Error("secret detail");
    },
    () => JSON.parse("5"),
    () => new Promise(() => {}),
  ];
  // Loads the module with the time limit, which may take longer than the manual clock waits.
  await testAgent({ instructions: () => "x" }).agent.instructions(ADA);
  for (const instructions of failing) {
    const asked = testAgent({ instructions }, { clock }).agent.instructions(ADA);
    const failed = assert.rejects(asked, (error) => {
      assert.ok(error instanceof AgentError);
      assert.equal(error.message, "Cannot answer: the agent's instructions failed");
      return true;
    });
    await settle();
    clock.advance(5000);
    await failed;
  }
  assert.equal(clock.pending, 0);
});

Deno.test("onTurnEnd learns how a turn ended, and its failure is a line of the log", async () => {
  const ends: unknown[] = [];
  const end = { turnId: "t", outcome: "response", question: "Q", answer: "A" } as const;
  const good = testAgent({ onTurnEnd: (turn, { user }) => void ends.push([turn, user?.id]) });
  await good.agent.turnEnded(end, ADA);
  assert.deepEqual(ends, [[end, ADA.user.id]]);
  const bad = testAgent({ onTurnEnd: () => Promise.reject(new Error("no")) });
  await bad.agent.turnEnded(end, ADA);
  assert.deepEqual(bad.log.events, ["on_turn_end_failed"]);
  const none = testAgent({});
  await none.agent.turnEnded(end, ADA);
});
