/** What the compiler knows of a tool: this file is type-checked with the others. */

import assert from "node:assert/strict";
import * as z from "zod";
import { mcpServer } from "../../../supabase/functions/_shared/agent/mcp.ts";
import {
  type AgentDefinition,
  defineAgent,
  defineAgents,
  functionTool,
  rpcTool,
  type Tool,
  tool,
} from "../../../supabase/functions/_shared/agent/mod.ts";

const find = tool({
  description: "Finds orders",
  input: z.object({ status: z.enum(["open", "shipped"]).optional(), limit: z.number().default(10) }),
  approval: ({ limit }, { user }) => limit > 100 && user?.role !== "support",
  execute: ({ status, limit }, { supabase, user, signal }) => {
    const wanted: "open" | "shipped" | undefined = status;
    // With a default it is always there.
    const most: number = limit;
    const email: string | undefined = user?.email;
    void email;
    return supabase.from("orders").select("id").match(wanted ? { status: wanted } : {}).limit(most)
      .abortSignal(signal);
  },
});

const parsed: Tool = tool({
  description: "The type is what the schema parses to",
  input: z.object({ day: z.string().transform((text) => text.length) }),
  execute: ({ day }) => day.toFixed(1),
});

tool({
  description: "A property that is not in the schema",
  input: z.object({ id: z.string() }),
  // @ts-expect-error: there is no "name".
  execute: ({ name }) => name,
});

tool({
  description: "A property of another type",
  input: z.object({ id: z.string() }),
  // @ts-expect-error: a string has no toFixed.
  approval: ({ id }) => id.toFixed(1) === "1",
});

tool({
  description: "An approval that says nothing",
  input: z.object({}),
  // @ts-expect-error: "yes" is no boolean.
  approval: () => "yes",
});

tool({
  description: "An unknown option",
  input: z.object({}),
  // @ts-expect-error: it is "idempotent".
  idempotant: true,
});

// @ts-expect-error: a tool needs an input.
tool({ description: "No input" });

tool({
  description: "An input that is no schema",
  // @ts-expect-error: an object of schemas is not a schema.
  input: { id: z.string() },
});

const send = functionTool("send_invoice", {
  description: "Sends an invoice",
  input: z.object({ order: z.string() }),
  approval: ({ order }) => order === "",
});

rpcTool("match_documents", {
  description: "Searches",
  input: z.object({ query: z.string() }),
  keyArgument: "key",
  // @ts-expect-error: the database function runs, not code.
  execute: () => {},
});

const agent: AgentDefinition = defineAgent({
  instructions: ({ user, session }) => `You help ${user?.email ?? "a visitor"} in ${session.id}.`,
  tools: { find, send, parsed },
  mcp: [mcpServer({ url: "https://example.com/mcp", headers: ({ user }) => ({ "x-user": user?.id ?? "" }) })],
  onTurnEnd: ({ outcome, answer }, { user }) => void [outcome, answer, user?.id],
});

// @ts-expect-error: a tool is made by tool(…).
defineAgent({ tools: { find: { description: "…" } } });

// @ts-expect-error: "mode" is no option.
defineAgent({ mode: "fast" });

Deno.test("tools of every input fit into one agent", () => {
  assert.equal(defineAgents({ orders: agent }).defaultName, "orders");
  assert.deepEqual([find, send, parsed].map(({ target }) => target.kind), ["code", "function", "code"]);
});
