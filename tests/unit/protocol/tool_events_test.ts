import assert from "node:assert/strict";
import {
  type ApprovalDecidedEvent,
  isSameToolEvent,
  type ToolEvent,
  type ToolResultEvent,
  type ToolStartedEvent,
} from "../../../supabase/functions/_shared/protocol/tool_events.ts";

const OF_CALL = { queryId: "q1", turnId: "t1", callId: "t1:1.1:0" };
const RESULT: ToolResultEvent = {
  ...OF_CALL,
  kind: "tool_result",
  name: "look",
  outcome: "ok",
  output: "42",
};
const DECISION: ApprovalDecidedEvent = {
  ...OF_CALL,
  kind: "approval_decided",
  decisionId: "d1",
  verdict: "approve",
};
const STARTED: ToolStartedEvent = { ...OF_CALL, kind: "tool_started", name: "look", epoch: 1 };

Deno.test("an event of the log is the one that was written, whatever the log has added", () => {
  for (const event of [RESULT, DECISION, STARTED]) {
    const logged: { kind: string } = { ...event, ...{ seq: 7, at: 1000 } };
    assert.ok(isSameToolEvent(event, logged), event.kind);
  }
});

Deno.test("what others have written about the same call is not one's own", () => {
  const others: [written: ToolEvent, logged: ToolEvent | { kind: "cleared" }][] = [
    [RESULT, { ...RESULT, output: "43" }],
    [RESULT, { ...RESULT, connectionId: "c2" }],
    [RESULT, { ...RESULT, callId: "t1:1.1:1" }],
    [RESULT, STARTED],
    [DECISION, { ...DECISION, decisionId: "d2" }],
    [STARTED, { ...STARTED, epoch: 2 }],
    [STARTED, { kind: "cleared" }],
  ];
  for (const [written, logged] of others) {
    assert.ok(!isSameToolEvent(written, logged), JSON.stringify(logged));
  }
});
