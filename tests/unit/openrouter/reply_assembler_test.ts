import assert from "node:assert/strict";
import {
  MAX_REPLY_CHARS,
  ReplyAssembler,
} from "../../../supabase/functions/_shared/openrouter/reply_assembler.ts";

Deno.test("[MD3] ReplyAssembler: arguments of calls without end are a failure too", () => {
  const options = {
    names: new Set(["f"]),
    usedIds: new Set<string>(),
    random: () => 0,
    reasoningField: undefined,
  };
  const reply = new ReplyAssembler({ model: "m", thinkTags: "show", tools: options });
  const call = { index: 0, function: { name: "f", arguments: "x".repeat(100_000) } };
  const event = JSON.stringify({ choices: [{ delta: { tool_calls: [call] } }] });
  assert.throws(() => {
    for (let n = 0; n < 100; n++) reply.add(event);
  }, { code: "model_stream_broken" });
});

Deno.test("[MD3] ReplyAssembler: an answer without end is a failure, and is not kept", () => {
  const reply = new ReplyAssembler({ model: "m", thinkTags: "show" });
  const piece = "x".repeat(100_000);
  const event = JSON.stringify({ choices: [{ delta: { content: piece } }] });
  let taken = 0;
  assert.throws(() => {
    for (let n = 0; n < 100; n++) {
      reply.add(event);
      taken += reply.takeText().length;
    }
  }, { code: "model_stream_broken" });
  assert.equal(taken, MAX_REPLY_CHARS);
});
