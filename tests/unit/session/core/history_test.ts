import assert from "node:assert/strict";
import * as fc from "fast-check";
import type { LogEvent, NewLogEvent } from "../../../../supabase/functions/_shared/protocol/log_event.ts";
import {
  addNote,
  emptyHistory,
  foldHistory,
  type History,
  promptFor,
} from "../../../../supabase/functions/_shared/session/core/history.ts";
import { cancelled, cleared, failure, query, response } from "../../../support/log_events.ts";

/** A log of turns with different ends, some of them interleaved. */
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

function fold(log: readonly LogEvent[], maxMessages: number): History {
  const history = emptyHistory(maxMessages);
  for (const event of log) foldHistory(history, event);
  return history;
}

Deno.test("[QU11] history: bounded, alternating, beginning with a user's message, ending with the question", () => {
  fc.assert(fc.property(logs, fc.integer({ min: 1, max: 8 }), (log, maxMessages) => {
    const history = emptyHistory(maxMessages);
    for (const event of log) {
      foldHistory(history, event);
      assert.ok(2 * history.exchanges.length <= maxMessages);
      const messages = promptFor(history, { content: "now", feedback: [] });
      assert.ok(messages.length <= maxMessages);
      messages.forEach(({ role }, index) => assert.equal(role, index % 2 === 0 ? "user" : "assistant"));
      assert.deepEqual(messages.at(-1), { role: "user", content: "now" });
      assert.ok(messages.every(({ content }) => content !== ""));
    }
  }));
});

Deno.test("[QU11] history: folding the log again gives the same", () => {
  fc.assert(fc.property(logs, (log) => {
    assert.deepEqual(fold(structuredClone(log), 50), fold(log, 50));
  }));
});

Deno.test("[FB3] history: notes are bounded", () => {
  const history = emptyHistory(2);
  for (const note of ["one", "two", "three"]) addNote(history, note);
  assert.deepEqual(history.notes, ["two", "three"]);
});

Deno.test("[MD7] history: no thoughts of an answer, however it ended; an answer of thoughts alone is none", () => {
  const thought = "<think>Six times seven</think>\n\n";
  const events = [
    query("a", "one"),
    response("a", `${thought}42`),
    query("b", "two"),
    cancelled("b", `${thought}So `),
    query("c", "three"),
    failure("c", `${thought}And`),
    query("d", "four"),
    cancelled("d", "<think>Six ti"),
    query("e", "five"),
    response("e", "Write <think> in your prompt"),
  ];
  const { exchanges } = fold(
    events.map((event, index): LogEvent => ({ ...event, seq: index + 1, at: 0 })),
    50,
  );
  assert.deepEqual(exchanges.flatMap(({ question, answer }) => [question, answer]), [
    "one",
    "42",
    "two",
    "So ",
    "three",
    "And",
    "five",
    "Write <think> in your prompt",
  ]);
});
