import assert from "node:assert/strict";
import * as fc from "fast-check";
import { History } from "../../../supabase/functions/_shared/agent/history.ts";
import type { LogEvent, NewLogEvent } from "../../../supabase/functions/_shared/protocol/log_event.ts";
import { cancelled, cleared, failure, query, response } from "../../support/log_events.ts";

/** A log of turns that end one way or another, some of them interleaved. */
const logs = fc.array(
  fc.record({
    content: fc.string({ minLength: 1 }),
    end: fc.constantFrom("response", "cancelled", "error", "interrupted", "cleared" as const),
    text: fc.string(),
  }),
  { maxLength: 40 },
).map((turns) => {
  const events: NewLogEvent[] = [];
  turns.forEach(({ content, end, text }, index) => {
    const id = String(index);
    events.push(query(id, content));
    if (end === "response") events.push(response(id, text));
    else if (end === "cancelled") events.push(cancelled(id, text));
    else if (end === "cleared") events.push(cleared(id));
    else if (end === "interrupted") events.push(failure(id, text));
    else events.push({ ...failure(id, text), code: "model_unavailable" });
  });
  return events.map((event, index): LogEvent => ({ ...event, seq: index + 1, at: 0 }));
});

Deno.test("[QU11] History: bounded, alternating, beginning with a user's, ending with the question", () => {
  fc.assert(fc.property(logs, fc.integer({ min: 1, max: 8 }), (log, maxMessages) => {
    const history = new History(maxMessages);
    for (const event of log) {
      history.apply(event);
      assert.ok(history.size <= maxMessages);
      const [system, ...messages] = history.prompt("sys", { content: "now", feedback: [] });
      assert.deepEqual(system, { role: "system", content: "sys" });
      assert.ok(messages.length <= maxMessages);
      messages.forEach(({ role }, index) => assert.equal(role, index % 2 === 0 ? "user" : "assistant"));
      assert.deepEqual(messages.at(-1), { role: "user", content: "now" });
      assert.ok(messages.every(({ content }) => content !== ""));
    }
  }));
});

Deno.test("[QU11] History: reading the log again gives the same", () => {
  fc.assert(fc.property(logs, (log) => {
    const [once, again] = [new History(50), new History(50)];
    for (const event of log) once.apply(event);
    for (const event of structuredClone(log)) again.apply(event);
    const question = { content: "?", feedback: [] };
    assert.deepEqual(again.prompt("s", question), once.prompt("s", question));
  }));
});

Deno.test("[FB3] History: notes are bounded", () => {
  const history = new History(2);
  for (const note of ["one", "two", "three"]) history.addNote(note);
  assert.deepEqual(history.takeNotes(), ["two", "three"]);
  assert.deepEqual(history.takeNotes(), []);
});
