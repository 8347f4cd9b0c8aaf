/** An agent with a real MCP server: the SDK's, over HTTP. tests/unit/agent/mcp_test.ts has servers that misbehave. */

import assert from "node:assert/strict";
import { mcpServer } from "../../supabase/functions/_shared/agent/mcp.ts";
import { systemClock } from "../../supabase/functions/_shared/platform/system.ts";
import { eventually } from "../support/local_stack.ts";
import { addNotesTools, sdkServer } from "../support/mcp_servers.ts";
import { ADA, testAgent } from "../support/test_agent.ts";

Deno.test("an agent lists and calls the tools of the SDK's server, and learns of new ones", async () => {
  const served = await sdkServer(addNotesTools);
  const listener = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, served.handle);
  const url = `http://127.0.0.1:${listener.addr.port}/mcp`;
  const options = { clock: systemClock(), fetch };
  const { agent, agents, run, log } = testAgent({ mcp: [mcpServer({ name: "notes", url })] }, options);
  try {
    const names = async (): Promise<string[]> => (await agent.tools(ADA)).map(({ name }) => name);
    assert.deepEqual(await names(), ["notes__search", "notes__add", "notes__fail"]);
    const planned = await agent.plan([
      { id: "1", name: "notes__search", arguments: '{"query":"tea"}' },
      { id: "2", name: "notes__add", arguments: '{"text":"tea"}' },
    ], ADA);
    assert.deepEqual(planned.map(({ needs }) => needs), ["nothing", "approval"]);
    const { output } = await run("notes__search", { query: "tea" });
    assert.equal(output, '{"tool":"notes__search","data":"found tea\\nand more"}');
    served.newest.registerTool("new", { description: "New" }, () => ({ content: [] }));
    await eventually("the new tool", async () => (await names()).includes("notes__new"));
    served.restart();
    assert.equal((await run("notes__add", { text: "a" })).output, '{"tool":"notes__add","data":{"id":1}}');
    assert.equal(served.sessions, 2);
    assert.deepEqual(log.entries, []);
  } finally {
    await agents.close();
    await listener.shutdown();
  }
});
