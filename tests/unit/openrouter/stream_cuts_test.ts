/** Every fixture, whole and cut, must come to the same. */

import assert from "node:assert/strict";
import { AgentError } from "../../../supabase/functions/_shared/errors.ts";
import { AttemptFailure } from "../../../supabase/functions/_shared/openrouter/attempt_failure.ts";
import { BodyFeed } from "../../../supabase/functions/_shared/openrouter/body_feed.ts";
import { ReplyAssembler } from "../../../supabase/functions/_shared/openrouter/reply_assembler.ts";
import { replyToolsFor } from "../../../supabase/functions/_shared/openrouter/reply_tools.ts";
import type { ModelReply } from "../../../supabase/functions/_shared/ports/model.ts";
import type { StreamFixture } from "../../fixtures/streams/fixture.ts";
import { STREAMS } from "../../fixtures/streams/streams.ts";
import { Asked, FakeProvider, QUESTION } from "./fake_provider.ts";

const TOOLS = ["find_orders", "refund_order"];
const OFFERING = {
  ...QUESTION,
  tools: TOOLS.map((name) => ({ name, description: "", parameters: { type: "object" } })),
};

type Bytes = Uint8Array<ArrayBuffer>;

/** What came of an answer. */
interface Result {
  text: string;
  reasoning: string;
  outcome: unknown;
}

/** Reads the fixture through the whole client, one read for each piece. */
async function readWhole(fixture: StreamFixture, pieces: readonly Bytes[]): Promise<Result> {
  const provider = new FakeProvider();
  const { status = 200, contentType = "text/event-stream", thinkTags = "show" } = fixture;
  const stream = provider.openStream({
    type: "chunks",
    status,
    headers: contentType === null ? {} : { "content-type": contentType },
  });
  for (const piece of pieces) stream.write(piece);
  stream.end();
  const asked = new Asked(provider.model({ thinkTags }), fixture.tools === true ? OFFERING : QUESTION);
  const outcome = await asked.reply.catch((thrown: unknown) => thrown);
  assert.ok(![...asked.pieces, ...asked.thoughts].includes(""), "an empty piece");
  assert.equal(provider.clock.pending, 0, "a timer that was left behind");
  return { text: asked.text, reasoning: asked.thoughts.join(""), outcome };
}

/** Reads the fixture as {@linkcode readWhole} does, but without streams, which take most of its time. */
function readCut({ thinkTags = "show", tools = false }: StreamFixture, pieces: readonly Bytes[]): Result {
  const reply = new ReplyAssembler({
    model: "test/model",
    thinkTags,
    tools: tools ? replyToolsFor(OFFERING, { random: () => 0, reasoningField: undefined }) : undefined,
  });
  const feed = new BodyFeed(reply);
  const decoder = new TextDecoder();
  let outcome: ModelReply | AttemptFailure;
  try {
    for (const piece of pieces) feed.add(decoder.decode(piece, { stream: true }));
    feed.end();
    outcome = reply.reply();
  } catch (thrown) {
    assert.ok(thrown instanceof AttemptFailure, String(thrown));
    outcome = thrown;
  }
  return { text: reply.takeText(), reasoning: reply.takeThoughts(), outcome };
}

function check(fixture: StreamFixture, { text, reasoning, outcome }: Result, where: string): void {
  const expected = fixture.outcome;
  if ("code" in expected) {
    assert.ok(outcome instanceof AgentError || outcome instanceof AttemptFailure, `${where}: ${outcome}`);
    assert.equal(outcome.code, expected.code, where);
    assert.equal(outcome.retryable, expected.retryable ?? outcome.retryable, where);
    assert.match(outcome.message, expected.says ?? /^[a-z]/, where);
  } else {
    assert.deepEqual(outcome, expected, where);
  }
  assert.equal(text, fixture.text, where);
  assert.equal(reasoning, fixture.reasoning ?? "", where);
}

/** A body that the client does not read as an answer. */
function isRefused({ status = 200, contentType }: StreamFixture): boolean {
  return status !== 200 || contentType?.startsWith("text/html") === true;
}

for (const fixture of STREAMS) {
  const bytes = new TextEncoder().encode(fixture.raw);

  Deno.test(`createOpenRouter: ${fixture.name}: the same in one read and byte by byte`, async () => {
    check(fixture, await readWhole(fixture, [bytes]), "whole");
    const single = Array.from(bytes, (_, index) => bytes.slice(index, index + 1));
    check(fixture, await readWhole(fixture, single), "byte by byte");
  });

  if (isRefused(fixture)) continue;
  Deno.test(`BodyFeed: ${fixture.name}: the same wherever it is cut`, () => {
    for (let cut = 0; cut <= bytes.length; cut++) {
      check(fixture, readCut(fixture, [bytes.subarray(0, cut), bytes.subarray(cut)]), `cut at byte ${cut}`);
    }
  });
}

Deno.test("the fixtures have names of their own, and a page that documents each", () => {
  assert.equal(new Set(STREAMS.map(({ name }) => name)).size, STREAMS.length);
  assert.ok(STREAMS.length > 120, String(STREAMS.length));
  for (const { name, source } of STREAMS) assert.ok(URL.canParse(source), name);
});
