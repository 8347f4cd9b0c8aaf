/** The agents that README.md and docs/TOOLS.md show. `task schema` writes them there; the gate checks their types. */

import assert from "node:assert/strict";
import everyOption from "../../examples/tools/every_option.ts";
import firstTool from "../../examples/tools/first_tool.ts";
import shortTool from "../../examples/tools/short_tool.ts";
import orders from "../../examples/orders/agent.ts";
import { isUntouched } from "../../local/demo.ts";
import { read } from "../support/source_files.ts";
import { ADA, testAgent } from "../support/test_agent.ts";

Deno.test("a deployment takes the agents in the documents, and asks for approval as they say", async () => {
  for (const { options } of [shortTool, firstTool, orders]) assert.ok(testAgent(options).agent.hasTools);
  const { agent } = testAgent(everyOption.options);
  const planned = await agent.plan([
    { id: "1", name: "refund_order", arguments: '{"order_id":"1001","amount":25}' },
    { id: "2", name: "refund_order", arguments: '{"order_id":"1001","amount":5}' },
    { id: "3", name: "pick_date", arguments: "" },
  ], ADA);
  assert.deepEqual(planned.map(({ needs }) => needs), ["approval", "nothing", "client"]);
  assert.deepEqual(planned.map(({ isIdempotent }) => isIdempotent), [true, true, false]);
});

Deno.test("docs/TOOLS.md shows every option that an agent, a tool and an MCP server have", () => {
  const code = read("examples/tools/every_option.ts");
  const declared = (file: string, name: string): string[] => {
    const body = new RegExp(`interface ${name}\\b[^{]*{\\n([^]*?)\\n}`).exec(read(file))?.[1] ?? "";
    return [...body.matchAll(/^ {2}(\w+)[?(:]/gm)].map(([, option = ""]) => option);
  };
  const agent = "supabase/functions/_shared/agent";
  const options = [
    ...declared(`${agent}/define.ts`, "AgentOptions"),
    ...declared(`${agent}/tool.ts`, "CommonToolOptions"),
    ...declared(`${agent}/tool.ts`, "ToolOptions"),
    ...declared(`${agent}/tool.ts`, "RpcToolOptions"),
    ...declared(`${agent}/mcp_port.ts`, "McpOptions"),
  ];
  assert.ok(options.length >= 20, String(options));
  assert.deepEqual(options.filter((option) => !new RegExp(`\\b${option}:`).test(code)), []);
});

Deno.test("the local stack takes the agent's file as it comes for untouched", () => {
  assert.ok(isUntouched(read("supabase/functions/agent_websocket/agent.ts")));
});
