/** Conversations as messages of the AI SDK: from rows of the table, and from the client's turns. */

import assert from "node:assert/strict";
import { type AgentMessageMetadata, type AgentUIMessage, toUIMessages } from "../../../client/ui_messages.ts";
import { renderEvent } from "../../../supabase/functions/_shared/protocol/render.ts";
import { cancelled, cleared, query, response } from "../../support/log_events.ts";
import { clientOf, CONVERSATION, rewound, rowsOf, USAGE } from "../../support/session_rows.ts";

function textsOf(messages: readonly AgentUIMessage[]): string[] {
  return messages.flatMap(({ role, parts }) =>
    parts.flatMap((part) => part.type === "text" ? [`${role}: ${part.text}`] : [])
  );
}

Deno.test("toUIMessages: questions and answers are messages, with what the log tells of them", () => {
  const messages = toUIMessages(rowsOf(CONVERSATION));
  const answer = (
    id: string,
    metadata: Omit<AgentMessageMetadata, "turnId">,
    text: string,
  ): AgentUIMessage => ({
    id: `answer-t-${id}`,
    role: "assistant",
    metadata: { turnId: `t-${id}`, ...metadata },
    parts: [{ type: "text", text, state: "done" }],
  });
  const question = (id: string, text: string): AgentUIMessage => ({
    id,
    role: "user",
    parts: [{ type: "text", text }],
  });
  assert.deepEqual(messages, [
    question("q1", "Hi!"),
    answer("q1", { model: "m", usage: USAGE }, "Hello."),
    question("q2", "Two at once"),
    answer(
      "q2",
      { usage: { ...USAGE, estimated: true }, outcome: "cancelled", reason: "cancelled" },
      "One, t",
    ),
    question("q3", "and three?"),
    answer("q3", { outcome: "failed", reason: "interrupted" }, "Thr"),
    question("q4", "Say nothing."),
    question("q5", "Still there?"),
  ]);
});

Deno.test("toUIMessages: rows may come in any order, twice, in part, or be something else", () => {
  const rows = rowsOf(CONVERSATION);
  const messages = toUIMessages(rows);
  assert.deepEqual(toUIMessages([...rows.toReversed(), ...rows]), messages);
  const junk = [null, undefined, 3, "x", [], {}, { seq: "1" }, { seq: 99, kind: "later" }, { seq: 98 }];
  assert.deepEqual(toUIMessages([...junk.map((event) => ({ event })), ...rows]), messages);
  assert.deepEqual(toUIMessages([]), []);
  // A page that begins behind the first question.
  assert.deepEqual(textsOf(toUIMessages(rows.slice(2))), textsOf(messages).slice(1));
});

Deno.test("toUIMessages: what a later question has replaced is left out, whatever of it comes later", () => {
  const events = [
    query("q1", "one"),
    response("q1", "1"),
    query("q2", "two"),
    response("q2", "2"),
    query("q3", "three"),
    rewound("q4", "q2", 3),
    query("q4", "two, edited"),
    cancelled("q3", "late"),
    response("q4", "22"),
  ];
  assert.deepEqual(textsOf(toUIMessages(rowsOf(events))), [
    "user: one",
    "assistant: 1",
    "user: two, edited",
    "assistant: 22",
  ]);
  // The first one is replaced, and then the replaced one once more.
  const again = [
    ...events,
    rewound("q5", "q1", 1),
    query("q5", "one, edited"),
    response("q5", "11"),
    rewound("q6", "q2", 3),
    query("q6", "two, again"),
  ];
  assert.deepEqual(textsOf(toUIMessages(rowsOf(again))), ["user: two, again"]);
  // Of a page that begins behind the replaced question nothing before the event is left.
  assert.deepEqual(textsOf(toUIMessages(rowsOf(events).slice(3))), ["user: two, edited", "assistant: 22"]);
});

Deno.test("toUIMessages: a clear leaves only what was asked after it", () => {
  const events = [
    query("q1", "one"),
    response("q1", "1"),
    query("q2", "two"),
    cleared("c"),
    response("q2", "2"),
    query("q3", "three"),
    response("q3", "3"),
  ];
  const left = ["user: three", "assistant: 3"];
  assert.deepEqual(textsOf(toUIMessages(rowsOf(events))), left);
  assert.deepEqual(textsOf(toUIMessages(rowsOf(events).slice(3))), left);
});

Deno.test("[DU3] toUIMessages: every text is as it was written, whatever jsonb refuses", () => {
  const text = 'Grüße 🙂 \ud83d \udc00 \u0000 \ue0ff \ue0ffe0ff "\\u0000" \\ud800';
  const [question, answer] = toUIMessages(rowsOf([query(text, text), response(text, text)]));
  assert.deepEqual([question?.id, question?.parts, answer?.parts], [
    text,
    [{ type: "text", text }],
    [{ type: "text", text, state: "done" }],
  ]);
});

Deno.test("client.messages: the same as toUIMessages makes of the same log", async () => {
  for (
    const events of [
      CONVERSATION,
      [
        query("a", "one"),
        response("a", "1"),
        query("b", "two"),
        cleared("c"),
        response("b", "2"),
        query("d"),
      ],
    ]
  ) {
    const { client } = await clientOf(events);
    assert.deepEqual(client.messages, toUIMessages(rowsOf(events)));
  }
});

Deno.test("client.messages: what a later question has replaced is left out", async () => {
  const { client, socket } = await clientOf([
    query("q1", "one"),
    response("q1", "1"),
    query("q2", "two"),
    response("q2", "2"),
    query("q3", "three"),
  ]);
  socket.status("rewound", "q4", { seq: 6, data: { query_id: "q2" } });
  socket.say(renderEvent({ ...query("q4", "two, edited"), seq: 7, at: 0 }));
  socket.say(renderEvent({ ...cancelled("q3", "late"), seq: 8, at: 0 }));
  assert.deepEqual(textsOf(client.messages), ["user: one", "assistant: 1", "user: two, edited"]);
  // A question that this client has never seen.
  socket.status("rewound", "q5", { seq: 9, data: { query_id: "unknown" } });
  socket.say(renderEvent({ ...query("q5", "anew"), seq: 10, at: 0 }));
  assert.deepEqual(textsOf(client.messages), ["user: anew"]);
});

Deno.test("client.messages: an answer that is written has its text and its reasoning so far", async () => {
  const { client, socket } = await clientOf([query("a", "Hi!"), response("a", "Hello.")]);
  const turn = client.query("Why?");
  assert.deepEqual(client.messages.at(-1), {
    id: turn.id,
    role: "user",
    parts: [{ type: "text", text: "Why?" }],
  });
  socket.status("thinking", turn.id, { seq: 3, turn_id: "t" });
  assert.equal(client.messages.at(-1)?.id, turn.id);
  socket.say({
    type: "reasoning",
    turn_id: "t",
    in_reply_to: turn.id,
    offset: 0,
    content: "Hm.",
    timestamp: "",
  });
  socket.say({ type: "delta", turn_id: "t", in_reply_to: turn.id, offset: 0, content: "Be", timestamp: "" });
  const streaming = client.messages;
  assert.deepEqual(streaming.at(-1), {
    id: "answer-t",
    role: "assistant",
    metadata: { turnId: "t" },
    parts: [
      { type: "reasoning", text: "Hm.", state: "streaming" },
      { type: "text", text: "Be", state: "streaming" },
    ],
  });
  assert.equal(client.messages, streaming, "the same array while nothing changes");
  socket.response(turn.id, 4, "Because.", { turn_id: "t", usage: USAGE });
  const done = client.messages;
  assert.notEqual(done, streaming);
  assert.deepEqual(done.slice(0, 3), streaming.slice(0, 3));
  for (const index of [0, 1, 2]) {
    assert.equal(done[index], streaming[index], "the same object if it is the same");
  }
  assert.deepEqual(done.at(-1), {
    id: "answer-t",
    role: "assistant",
    metadata: { turnId: "t", model: "m", usage: USAGE },
    parts: [{ type: "reasoning", text: "Hm.", state: "done" }, {
      type: "text",
      text: "Because.",
      state: "done",
    }],
  });
});
