import assert from "node:assert/strict";
import { isSameToolEvent, type ToolEvent } from "../../../supabase/functions/_shared/protocol/tool_events.ts";

const OF_CALL = { queryId: "q1", turnId: "t1", callId: "t1:1.1:0" };
const RESULT: ToolEvent = { ...OF_CALL, kind: "tool_result", name: "look", outcome: "ok", output: "42" };
const DECISION: ToolEvent = { ...OF_CALL, kind: "approval_decided", decisionId: "d1", verdict: "approve" };
const STARTED: ToolEvent = { ...OF_CALL, kind: "tool_started", name: "look", epoch: 1 };

Deno.test("an event of the log is the one that was written, whatever the log has added", () => {
  for (const event of [RESULT, DECISION, STARTED]) {
    assert.ok(isSameToolEvent(event, { ...event, seq: 7, at: 1000 } as ToolEvent), event.kind);
  }
});

Deno.test("what others have written about the same call is not one's own", () => {
  const others: [written: ToolEvent, logged: { kind: string }][] = [
    [RESULT, { ...RESULT, output: "43" } as ToolEvent],
    [RESULT, { ...RESULT, connectionId: "c2" } as ToolEvent],
    [RESULT, { ...RESULT, callId: "t1:1.1:1" }],
    [RESULT, STARTED],
    [DECISION, { ...DECISION, decisionId: "d2" } as ToolEvent],
    [STARTED, { ...STARTED, epoch: 2 } as ToolEvent],
    [STARTED, { kind: "cleared" }],
  ];
  for (const [written, logged] of others) {
    assert.ok(!isSameToolEvent(written, logged), JSON.stringify(logged));
  }
});
