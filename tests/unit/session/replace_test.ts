/** A query that takes the place of an earlier one, on the wire: with one worker, and with two. */

import assert from "node:assert/strict";
import { startAgent } from "../../support/agent_harness.ts";
import { settle } from "../../support/manual_clock.ts";
import { resumeAt, startTwoWorkers } from "../../support/two_workers.ts";

Deno.test("[RW1] [RW5] every connection is told what is superseded, before the new question, and a resume is told the same", async () => {
  const { connect, model } = startAgent();
  const asker = await connect();
  const other = await connect(asker.resumeQuery(0));
  for (const [id, answer] of [["a", "re one"], ["b", "re two"]] as const) {
    asker.ask(`question ${id}`, { id });
    await settle();
    model.last.finish(answer);
    await settle();
  }
  asker.ask("a better question", { id: "b2", replaces: "b" });
  await settle();
  assert.deepEqual(model.last.request.messages.slice(1).map(({ content }) => content), [
    "question a",
    "re one",
    "a better question",
  ]);
  model.last.finish("a better answer");
  await settle();
  const late = await connect(asker.resumeQuery(0));
  await settle();
  for (const client of [asker, other, late]) {
    const { code, seq, in_reply_to, data } = client.only("status", "rewound");
    assert.deepEqual([code, seq, in_reply_to, data], ["rewound", 5, "b2", { query_id: "b", from_seq: 3 }]);
    assert.deepEqual(client.seqs, [1, 2, 3, 4, 5, 6, 7]);
  }
  assert.equal(asker.of("status", "thinking").at(-1)?.seq, 6);
  asker.command("history");
  await settle();
  const { messages } = asker.only("status", "history").data as { messages: { content: string }[] };
  assert.deepEqual(messages.map(({ content }) => content), [
    "question a",
    "re one",
    "a better question",
    "a better answer",
  ]);
});

Deno.test("[RW3] a query that replaces nothing is refused, and the id may be used again", async () => {
  const { connect, model } = startAgent();
  const client = await connect();
  client.ask("two", { id: "b", replaces: "a" });
  await settle();
  const { code, retryable, in_reply_to, content, seq } = client.only("error");
  assert.deepEqual([code, retryable, in_reply_to, seq], ["unknown_query", false, "b", undefined]);
  assert.match(content, /"replaces" must be the "id" of an earlier query/);
  assert.equal(model.calls.length, 0);
  client.ask("one", { id: "a" });
  await settle();
  model.last.finish("1");
  await settle();
  client.ask("two", { id: "b", replaces: "a" });
  await settle();
  model.last.finish("2");
  await settle();
  assert.deepEqual(client.of("response").map(({ content }) => content), ["1", "2"]);
});

for (const policy of ["reject", "latest", "queue", "interrupt"] as const) {
  Deno.test(`[RW2] policy ${policy}: what is replaced stops, running or waiting, and older turns do not`, async () => {
    const { connect, model } = startAgent();
    const client = await connect();
    client.ask("one", { id: "a" });
    client.ask("two", { id: "b" });
    client.ask("three", { id: "c" });
    await settle();
    const running = model.last;
    client.ask("two, better", { id: "b2", replaces: "b", policy });
    await settle();
    assert.deepEqual(
      client.of("status", "cancelled").map(({ in_reply_to, reason }) => [in_reply_to, reason]),
      [["b", "superseded"], ["c", "superseded"]],
    );
    running.finish("1");
    await settle();
    assert.equal(model.last.request.messages.at(-1)?.content, "two, better");
    model.last.finish("2");
    await settle();
    assert.deepEqual(client.of("response").map(({ in_reply_to }) => in_reply_to), ["a", "b2"]);
  });
}

Deno.test("[RW2] [RW4] asked at another worker, the running answer is stopped where it is written", async () => {
  const { workers, a, b, client } = await startTwoWorkers({ asks: { q: "count" } });
  a.model.last.say("one two ");
  const replaced = a.model.last;
  const second = await resumeAt(b, client);
  second.ask("count down", { id: "q2", replaces: "q" });
  await workers.pass(100);
  assert.equal(replaced.signal.aborted, true);
  const { reason, partial } = client.only("status", "cancelled");
  assert.deepEqual([reason, partial], ["superseded", "one two "]);
  assert.deepEqual(a.model.last.request.messages.slice(1).map(({ content }) => content), ["count down"]);
  a.model.last.finish("three two one");
  await workers.pass(100);
  assert.equal(second.only("response").content, "three two one");
  assert.equal(client.only("response").content, "three two one");
});
