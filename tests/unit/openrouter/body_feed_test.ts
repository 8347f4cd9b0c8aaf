import assert from "node:assert/strict";
import {
  BodyFeed,
  MAX_EVENT_CHARS,
  MAX_TAIL_CHARS,
} from "../../../supabase/functions/_shared/openrouter/body_feed.ts";
import { ReplyAssembler } from "../../../supabase/functions/_shared/openrouter/reply_assembler.ts";
import { delta } from "../../support/model_stream.ts";

function newFeed(): BodyFeed {
  return new BodyFeed(new ReplyAssembler({ model: "m", thinkTags: "show" }));
}

Deno.test("[MD3] BodyFeed: a JSON body without end is a failure", () => {
  const feed = newFeed();
  feed.add(`{"choices":"`);
  const piece = "x".repeat(65_536);
  let pieces = 0;
  assert.throws(() => {
    for (; pieces < 100; pieces++) feed.add(piece);
  }, { code: "model_stream_broken" });
  assert.equal(pieces, MAX_EVENT_CHARS / piece.length - 1);
});

Deno.test("BodyFeed: an error that is no event is looked for in a text of limited length", () => {
  const error = `\nerror: {"code":429}\n`;
  for (
    const [filler, code] of [[MAX_TAIL_CHARS - 200, "model_rate_limited"], [
      MAX_TAIL_CHARS,
      undefined,
    ]] as const
  ) {
    const feed = newFeed();
    feed.add(delta("So"));
    for (let chars = 0; chars < filler; chars += 100) feed.add(`: ${"x".repeat(97)}\n`);
    feed.add(error);
    if (code === undefined) feed.end();
    else assert.throws(() => feed.end(), { code });
  }
});
