/** Reasoning over real sockets: from the provider's stream to the connections that asked for it. */

import assert from "node:assert/strict";
import { type AgentClient, connect, of, terminal } from "../support/agent_client.ts";
import { withAgent } from "../support/agent_process.ts";
import { HandModel } from "../support/hand_model.ts";
import { RUNTIMES } from "../support/runtimes.ts";

/** The reasoning that a client builds from its frames. */
function reasoningOf({ frames }: AgentClient): string {
  let reasoning = "";
  for (const frame of frames) {
    if (frame.type !== "reasoning") continue;
    assert.ok(frame.offset <= reasoning.length, "a piece that begins after the end of the reasoning so far");
    reasoning = reasoning.slice(0, frame.offset) + frame.content;
  }
  return reasoning;
}

for (const { name, path } of RUNTIMES) {
  Deno.test(`[RE1] [RE2] ${name}: reasoning reaches who asked for it, also in the middle, and nobody else`, async () => {
    await using model = new HandModel();
    const env = { OPENROUTER_BASE_URL: model.baseUrl };
    await withAgent({ deno: await path(), env }, async ({ wsUrl }) => {
      await using client = await connect(`${wsUrl}?reasoning=true&stream=true`);
      await using plain = await connect(`${wsUrl}?stream=true&${client.resumeQuery()}`);
      const id = client.ask("Why?");
      const exchange = await model.next();
      let thought = "";
      for (const piece of ["Let me ", "see 👩‍🔬", ".\n"]) {
        exchange.think(piece);
        thought += piece;
        await client.waitFor(() => reasoningOf(client) === thought);
      }
      await using late = await connect(`${wsUrl}?reasoning=1&${client.resumeQuery()}`);
      const first = await late.waitFor(of("reasoning"));
      assert.deepEqual([first.offset, first.content, first.in_reply_to], [0, thought, id]);
      exchange.say("Because.");
      await plain.waitFor(of("delta"));
      exchange.think("So be it.");
      await late.waitFor(() => reasoningOf(late) === `${thought}So be it.`);
      exchange.finish();
      for (const one of [client, plain, late]) {
        assert.equal((await one.waitFor(terminal(id))).content, "Because.");
      }
      assert.equal(reasoningOf(client), `${thought}So be it.`);
      assert.equal(plain.frames.some(of("reasoning")), false);

      client.ask("And now?");
      const next = await model.next();
      assert.deepEqual(next.messages.slice(1).map(({ content }) => content), [
        "Why?",
        "Because.",
        "And now?",
      ]);
      next.finish();
    });
  });
}
