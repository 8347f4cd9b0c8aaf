import * as z from "zod";
import { mcpServer } from "../../supabase/functions/_shared/agent/mcp.ts"; // only for MCP: it brings the SDK into the deployment
import { defineAgent, functionTool, rpcTool, tool } from "../../supabase/functions/_shared/agent/mod.ts";

export default defineAgent({
  // A text or a function. Default: SYSTEM_PROMPT.
  instructions: ({ user, session }) => `You help ${user?.email ?? "a visitor"} (session ${session.id}).`,
  model: "openai/gpt-4.1", // Default: MODEL
  fallbacks: ["anthropic/claude-sonnet-4.5"], // Default: none with `model`, otherwise MODEL_FALLBACKS
  temperature: 0.2, // Default: TEMPERATURE
  maxTokens: 800, // Default: MAX_TOKENS
  maxSteps: 6, // Default: MAX_STEPS
  tools: {
    refund_order: tool({
      description: "Refunds an order.", // the model reads it
      input: z.object({ order_id: z.string(), amount: z.number().positive() }),
      approval: ({ amount }, { user }) => amount > 20 && user?.role !== "manager", // or true. Default: no approval
      idempotent: true, // may run again with the same key. Default: false
      as: "user", // or "service", "nobody". Default: "user"
      timeoutMs: 10_000, // Default: TOOL_TIMEOUT_MS
      // It gets the input and { supabase, user, sessionId, turnId, callId, idempotencyKey, signal }.
      execute: (input, { supabase, idempotencyKey }) =>
        supabase.rpc("refund", { ...input, key: idempotencyKey }),
    }),
    // Without execute a client runs it.
    pick_date: tool({ description: "Lets the user pick a date.", input: z.object({}) }),
    // Another edge function: the input is posted to it, with the header idempotency-key.
    send_invoice: functionTool("send_invoice", {
      description: "Sends an invoice by mail.",
      input: z.object({ order_id: z.string() }),
      approval: true,
    }),
    // A function of the database: the properties of the input are its arguments.
    match_documents: rpcTool("match_documents", {
      description: "Finds documents about a topic.",
      input: z.object({ topic: z.string(), limit: z.int().max(20).default(5) }),
      keyArgument: "p_key", // the argument that gets the idempotency key. Default: none
    }),
  },
  mcp: [mcpServer({
    url: "https://docs.example.com/mcp",
    name: "docs", // its tools are docs__search … Default: the server's own names
    tools: ["search"], // Default: all
    // Default: none
    headers: ({ user }) => ({
      authorization: `Bearer ${Deno.env.get("DOCS_KEY")}`,
      "x-user": user?.id ?? "",
    }),
    approval: "always", // or "never". Default: "auto", unless the server says that the tool is read-only
  })],
  // Default: nothing. It gets { turnId, outcome, question, answer } and { user, session }.
  onTurnEnd: ({ outcome }, { session }) =>
    fetch("https://example.com/hook", {
      method: "POST",
      body: JSON.stringify({ session: session.id, outcome }),
    }),
});
