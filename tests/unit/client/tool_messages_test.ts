/** Tool calls in messages of the AI SDK: from rows of the table, and from the client's turns. */

import assert from "node:assert/strict";
import type { AgentUIMessage } from "../../../client/ui_messages.ts";
import { toUIMessages } from "../../../client/tool_messages.ts";
import { cancelled, cleared, failure, query, toolCall, toolResult } from "../../support/log_events.ts";
import { type Log, STATES, STEPS } from "../../support/tool_logs.ts";
import { ToolFrames } from "../../support/tool_frames.ts";
import { rewound, rowsOf, toolClientOf } from "../../support/session_rows.ts";

function partsOf(messages: readonly AgentUIMessage[]): unknown[] {
  return messages.map(({ parts }) =>
    parts.map((part) =>
      part.type === "dynamic-tool"
        ? `${part.toolName} ${part.state}`
        : part.type === "text"
        ? part.text
        : part.type
    )
  );
}

Deno.test("toUIMessages with tools: each step is its text, then its calls, and the next one begins a step", () => {
  const messages = toUIMessages(rowsOf(STEPS));
  const text = (of: string) => ({ type: "text" as const, text: of, state: "done" as const });
  const id = (place: number, step = 1): string => `t-a:${step}.1:${place}`;
  assert.deepEqual(messages[1], {
    id: "answer-t-a",
    role: "assistant",
    metadata: { turnId: "t-a", model: "m" },
    parts: [
      text("Let me look."),
      {
        type: "dynamic-tool",
        toolName: "find",
        toolCallId: id(0),
        input: { status: "open" },
        state: "output-available",
        output: { orders: 2 },
      },
      {
        type: "dynamic-tool",
        toolName: "count",
        toolCallId: id(1),
        input: {},
        state: "output-error",
        errorText: "no access",
      },
      { type: "step-start" },
      text("Two."),
      {
        type: "dynamic-tool",
        toolName: "refund",
        toolCallId: id(0, 2),
        input: { amount: 10 },
        state: "output-available",
        output: [1],
        approval: { id: id(0, 2), approved: true, reason: "less" },
      },
      { type: "step-start" },
      text("Done."),
    ],
  });
});

Deno.test("toUIMessages with tools: every state of a call is a part in a state of the AI SDK", () => {
  for (
    const [log, last] of [
      [STATES, ["when approval-requested", "pick input-available"]],
      [[...STATES, cancelled("b")], ["when output-error", "pick output-error"]],
      [[...STATES, failure("b")], ["when output-error", "pick output-error"]],
    ] as const
  ) {
    const messages = toUIMessages(rowsOf(log));
    assert.deepEqual(partsOf(messages.slice(1)), [[
      "no output-denied",
      "late output-denied",
      "yes approval-responded",
      ...last,
      "gone output-error",
    ].map((part) => log !== STATES && part.startsWith("yes") ? "yes output-error" : part)]);
  }
  const [, stopped] = toUIMessages(rowsOf([...STATES, cancelled("b")]));
  assert.deepEqual(stopped?.metadata, { turnId: "t-b", outcome: "cancelled", reason: "cancelled" });
});

Deno.test("toUIMessages with tools: an output that is JSON is a value, a number or anything else is text", () => {
  const cases = [['{"a":[1]}', { a: [1] }], ["[1]", [1]], ['"here"', "here"], ["12", "12"], [
    "{cut",
    "{cut",
  ]] as const;
  for (const [output, value] of cases) {
    const [, answer] = toUIMessages(
      rowsOf([query("a"), toolCall("a", "find"), toolResult("a", "find", { output })]),
    );
    const [part] = answer?.parts ?? [];
    assert.ok(part?.type === "dynamic-tool" && part.state === "output-available");
    assert.deepEqual(part.output, value);
  }
});

Deno.test("toUIMessages with tools: what a later question replaced or a clear hides is left out", () => {
  const replaced = [...STATES, cancelled("b"), rewound("c", "b", 1), query("c", "Else?")];
  assert.deepEqual(partsOf(toUIMessages(rowsOf(replaced))), [["Else?"]]);
  assert.deepEqual(toUIMessages(rowsOf([...STEPS, cleared("x")])), []);
});

Deno.test("client.messages with tools: the same as toUIMessages makes of the same log", async () => {
  const logs: Log[] = [
    STEPS,
    STATES,
    [...STATES, cancelled("b")],
    [...STEPS, ...STATES],
    [...STEPS, cleared("x"), query("c")],
    [...STATES, cancelled("b", "Well.")],
  ];
  for (const log of logs) {
    const { client } = await toolClientOf(log);
    const messages = client.messages;
    assert.deepEqual(messages, toUIMessages(rowsOf(log)));
    assert.equal(client.messages, messages, "the same array while nothing changes");
    client.close();
  }
});

Deno.test("client.messages with tools: text that is written follows the calls, whatever deltas have come", async () => {
  const { client, socket } = await toolClientOf(STEPS);
  const turn = client.query("More");
  const frames = new ToolFrames(turn.id, STEPS.length + 1);
  socket.say(frames.thinking());
  socket.say(frames.delta(0, "Let"));
  assert.deepEqual(partsOf(client.messages.slice(-1)), [["Let"]]);
  socket.say(frames.call("find", { text: "Let me." }));
  assert.deepEqual(partsOf(client.messages.slice(-1)), [["Let me.", "find input-available"]]);
  const [, earlier] = client.messages;
  socket.say(frames.result("find", "1"));
  socket.say(frames.delta(0, "Let me.\n\n"));
  assert.deepEqual(partsOf(client.messages.slice(-1)), [["Let me.", "find output-available"]]);
  socket.say(frames.delta(9, "One"));
  assert.deepEqual(partsOf(client.messages.slice(-1)), [[
    "Let me.",
    "find output-available",
    "step-start",
    "One",
  ]]);
  assert.equal(client.messages[1], earlier, "a message that does not change is the same object");
  client.close();
});

Deno.test("client.messages with tools: a client that has missed the first steps shows the text that it has", async () => {
  const { client, socket } = await toolClientOf([query("a", "Refund it")]);
  const frames = new ToolFrames("a", 2);
  socket.say(frames.call("refund", { step: 2, text: "\n\nTwo." }));
  socket.say(frames.delta(0, "One.\n\nTwo.\n\nThree."));
  assert.deepEqual(partsOf(client.messages.slice(-1)), [[
    "One.",
    "Two.",
    "refund input-available",
    "step-start",
    "Three.",
  ]]);
  client.close();
});
