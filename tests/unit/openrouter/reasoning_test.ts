/** Thoughts beside the text and in it, as they arrive. */

import assert from "node:assert/strict";
import fc from "fast-check";
import {
  AnswerStart,
  MAX_LEADING_SPACE,
} from "../../../supabase/functions/_shared/openrouter/answer_start.ts";
import { THINK_TAGS, withoutThoughts } from "../../../supabase/functions/_shared/think_tags.ts";
import { settle } from "../../support/manual_clock.ts";
import { delta, ending, sse } from "../../support/model_stream.ts";
import { Asked, FakeProvider } from "./fake_provider.ts";

const think = (reasoning: string): string => sse({ choices: [{ delta: { reasoning } }] });

Deno.test("createOpenRouter: thoughts are handed on as they come, all of one read at once, before the read's text", async () => {
  const provider = new FakeProvider();
  const stream = provider.openStream();
  const seen: string[] = [];
  const reply = provider.model().reply(
    { messages: [], partial: "", models: ["test/model"], temperature: 0, maxTokens: 9 },
    {
      onText: (text) => void seen.push(text),
      onReasoning: (text) => void seen.push(`(${text})`),
      signal: new AbortController().signal,
    },
  );
  for (const piece of [think("a") + think("b"), think("c") + delta("One"), delta(" two")]) {
    stream.write(piece);
    await settle();
  }
  stream.write(ending());
  stream.end();
  await reply;
  assert.deepEqual(seen, ["(ab)", "(c)", "One", " two"]);
});

Deno.test("createOpenRouter: thoughts in tags are handed on while the block is open", async () => {
  const provider = new FakeProvider();
  const stream = provider.openStream();
  const asked = new Asked(provider.model());
  for (
    const [piece, thoughts, text] of [
      ["<think>Six", "Six", ""],
      [" times</th", "Six times", ""],
      ["is</think", "Six times</this", ""],
      [">\n", "Six times</this", ""],
      ["42", "Six times</this", "42"],
    ] as const
  ) {
    stream.write(delta(piece));
    await settle();
    assert.equal(asked.thoughts.join(""), thoughts);
    assert.equal(asked.text, text);
  }
  stream.write(ending());
  stream.end();
  await asked.reply;
});

Deno.test("createOpenRouter: a receiver of thoughts that throws ends the reply with its error", async () => {
  const provider = new FakeProvider();
  const stream = provider.openStream();
  const failure = new Error("a bug");
  const reply = provider.model().reply(
    { messages: [], partial: "", models: ["test/model"], temperature: 0, maxTokens: 9 },
    {
      onText: () => {},
      onReasoning: () => {
        throw failure;
      },
      signal: new AbortController().signal,
    },
  );
  stream.write(think("a"));
  await assert.rejects(reply, (thrown) => thrown === failure);
  assert.ok(provider.requests[0]?.signal.aborted);
});

Deno.test("AnswerStart: white space in a loop is not kept", () => {
  const start = new AnswerStart({ policy: "show", onThought: () => {} });
  for (let piece = 0; piece < 10; piece++) assert.equal(start.add("\n".repeat(MAX_LEADING_SPACE)), "");
  assert.equal(start.add("x"), "\n".repeat(MAX_LEADING_SPACE) + "x");
  assert.ok(start.isOver);
});

/** Texts of tags, halves of tags, white space and words. */
const fragments = fc.array(
  fc.constantFrom(
    ...THINK_TAGS.flatMap(({ open, close }) => [open, close]),
    "<",
    "<thi",
    "</",
    "[",
    " ",
    "\n",
    "a",
  ),
  { maxLength: 12 },
);

Deno.test("AnswerStart: in any pieces the same as at once, and nothing is lost or moved", () => {
  fc.assert(
    fc.property(fragments, fc.integer(), (parts, seed) => {
      const whole = parts.join("");
      const read = (pieces: readonly string[]): { text: string; thoughts: string } => {
        let thoughts = "";
        const start = new AnswerStart({ policy: "show", onThought: (text) => void (thoughts += text) });
        let text = "";
        for (const piece of pieces) text += start.isOver ? piece : start.add(piece);
        return { text: text + start.end(), thoughts };
      };
      const cut = Math.abs(seed) % (whole.length + 1);
      const atOnce = read([whole]);
      assert.deepEqual(read([...whole]), atOnce);
      assert.deepEqual(read([whole.slice(0, cut), whole.slice(cut)]), atOnce);
      assert.ok(whole.endsWith(atOnce.text), "the text is the end of what came");
      // What later prompts have of an answer whose tags were left is what a reader of the others has seen.
      assert.equal(withoutThoughts(whole).trim(), atOnce.text.trim());
    }),
    { numRuns: 2000 },
  );
});

Deno.test("withoutThoughts takes blocks at the beginning out, and leaves everything else as it is", () => {
  for (
    const [answer, kept] of [
      ["42", "42"],
      ["  42 ", "  42 "],
      ["<think>Six</think>\n\n42 ", "42 "],
      [" <thought>a</thought>[THINK]b[/THINK]c", "c"],
      ["</think>42", "42"],
      ["<think>on and on", ""],
      ["Use `<think>` and </think>", "Use `<think>` and </think>"],
      ["<thinker> of Rodin", "<thinker> of Rodin"],
    ] as const
  ) {
    assert.equal(withoutThoughts(answer), kept);
  }
});
