import assert from "node:assert/strict";
import { type DemoStep, demoStep, type DemoTool } from "../../../local/demo_tools.ts";
import { dataText, errorText } from "../../../supabase/functions/_shared/agent/tool_result.ts";

const TOOLS: readonly DemoTool[] = [
  {
    name: "find_orders",
    description: "Lists the user's orders.",
    parameters: { type: "object", properties: { status: { type: "string", enum: ["open", "shipped"] } } },
  },
  {
    name: "refund_order",
    description: "Gives the money for an order back.",
    parameters: {
      type: "object",
      properties: { order_id: { type: "string" }, amount: { type: "number" } },
      required: ["order_id", "amount"],
    },
  },
  {
    name: "pick_date",
    description: "Lets the user pick a date.",
    parameters: { type: "object", properties: {} },
  },
];
const ORDERS = '[{"id":"1001","status":"open","total":25},{"id":"1002","status":"open","total":7.5}]';

function step(question: string, fields: Partial<DemoStep> = {}): unknown {
  return demoStep({ question, results: [], earlier: [], called: [], tools: TOOLS, ...fields });
}

function calls(question: string, fields: Partial<DemoStep> = {}): unknown {
  const { call } = step(question, fields) as { call?: { name: string; arguments: string } };
  return call === undefined ? undefined : [call.name, JSON.parse(call.arguments)];
}

Deno.test("demoStep: the words of the question choose the tool and its input", () => {
  assert.deepEqual(calls("What are my open orders?"), ["find_orders", { status: "open" }]);
  assert.deepEqual(calls("Show me my orders"), ["find_orders", {}]);
  assert.deepEqual(calls("Please refund $12.50 of order #1001"), ["refund_order", {
    order_id: "1001",
    amount: 12.5,
  }]);
  assert.deepEqual(calls("Refund order A-17 with 30"), ["refund_order", { order_id: "A-17", amount: 30 }]);
  assert.deepEqual(calls("Pick a date"), ["pick_date", {}]);
});

Deno.test("demoStep: nothing is called for what no tool is named after", () => {
  for (const question of ["Hello", "Tell me a long story", "Give me the money", "What are you?"]) {
    assert.equal(step(question), undefined, question);
  }
  assert.equal(step("What are my open orders?", { tools: [] }), undefined);
});

Deno.test("demoStep: results are read as the runner of tools marks them", () => {
  const results = [dataText("find_orders", JSON.parse(ORDERS), 20_000)];
  const found = { results, called: ["find_orders"] };
  assert.deepEqual(calls("Refund order 1001", found), ["refund_order", { order_id: "1001", amount: 25 }]);
  assert.match(
    JSON.stringify(step("Show me my orders", found)),
    /I found 2:\\n\\n- \*\*1001\*\*, status open/,
  );
  const failed = { results: [errorText("find_orders", "it took too long")], called: ["find_orders"] };
  assert.deepEqual(step("Show me my orders", failed), { text: "That did not work: it took too long" });
});

Deno.test("demoStep: what a refund needs is looked up first, in the conversation or by another tool", () => {
  assert.deepEqual(calls("Refund order 1001"), ["find_orders", {}]);
  const found = { results: [ORDERS], called: ["find_orders"] };
  assert.deepEqual(calls("Refund order 1001", found), ["refund_order", { order_id: "1001", amount: 25 }]);
  assert.deepEqual(calls("Refund order 1002", { earlier: [ORDERS] }), ["refund_order", {
    order_id: "1002",
    amount: 7.5,
  }]);
  // The tool says what is wrong with it.
  assert.deepEqual(calls("Refund order 9", found), ["refund_order", { order_id: "9" }]);
});

Deno.test("demoStep: results are told in words, also those that are marked as data", () => {
  const says = (result: string): unknown =>
    step("What are my open orders?", { results: [result], called: ["find_orders"] });
  const list = "I found 2:\n\n- **1001**, status open, total 25\n- **1002**, status open, total 7.5";
  assert.deepEqual(says(ORDERS), { text: list });
  assert.deepEqual(says(`<tool_result untrusted>\n${ORDERS}\n</tool_result>`), { text: list });
  assert.deepEqual(says("[]"), { text: "I found nothing." });
  assert.deepEqual(says('{"refunded":25,"order_id":"1001"}'), { text: "Done: refunded 25, order id 1001." });
  assert.deepEqual(says('{"error":"no such order"}'), { text: "That did not work: no such order" });
  assert.deepEqual(says("Rejected: not today."), { text: "The tool says: Rejected: not today." });
});
