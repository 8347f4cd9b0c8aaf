import assert from "node:assert/strict";
import { AgentError } from "../../../supabase/functions/_shared/errors.ts";
import { type StreamFixture, STREAMS } from "../../fixtures/streams/streams.ts";
import { Asked, FakeProvider } from "./fake_provider.ts";

/** Reads the fixture in these pieces, one read each, and checks the whole result. */
async function check(
  fixture: StreamFixture,
  pieces: readonly Uint8Array<ArrayBuffer>[],
  where: string,
): Promise<void> {
  const provider = new FakeProvider();
  const stream = provider.openStream({ type: "chunks" });
  for (const piece of pieces) stream.write(piece);
  stream.end();
  const asked = new Asked(provider.model());
  const outcome = await asked.reply.catch((thrown) => thrown);
  if ("code" in fixture.outcome) {
    assert.ok(outcome instanceof AgentError, where);
    assert.equal(outcome.code, fixture.outcome.code, where);
  } else {
    assert.deepEqual(outcome, fixture.outcome, where);
  }
  assert.equal(asked.text, fixture.text, where);
  assert.ok(!asked.pieces.includes(""), where);
  assert.equal(provider.clock.pending, 0, where);
}

for (const fixture of STREAMS) {
  const bytes = new TextEncoder().encode(fixture.raw);

  Deno.test(`createOpenRouter: ${fixture.name}: the same wherever the stream is cut`, async () => {
    for (let cut = 0; cut <= bytes.length; cut++) {
      await check(fixture, [bytes.slice(0, cut), bytes.slice(cut)], `cut at byte ${cut}`);
    }
  });

  Deno.test(`createOpenRouter: ${fixture.name}: the same byte by byte`, async () => {
    await check(fixture, Array.from(bytes, (_, index) => bytes.slice(index, index + 1)), "byte by byte");
  });
}
