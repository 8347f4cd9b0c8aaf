/**
 * The agent of the chaos run, in the place of the developer's `agent.ts`. Each run of a tool leaves a row in `chaos_runs`
 * (tool_runs.ts), as the user or as the service.
 */

import * as z from "zod";
import { defineAgent, tool, type ToolContext } from "../../supabase/functions/_shared/agent/mod.ts";

/** The same as in tool_script.ts, which a worker does not load. */
const FREE_AMOUNT = 20;

const label = z.string();
const ms = z.int().min(0).max(60_000).default(0);

export default defineAgent({
  instructions: "You are the chaos model.",
  tools: {
    book: tool({
      description: "Must run once, as the user.",
      input: z.object({ label, ms }),
      execute: (input, context) => run("book", input, context),
    }),
    mark: tool({
      description: "May run again, as the service.",
      input: z.object({ label, ms }),
      idempotent: true,
      as: "service",
      execute: (input, context) => run("mark", input, context),
    }),
    pay: tool({
      description: "Needs approval above an amount.",
      input: z.object({ label, amount: z.number().positive(), ms }),
      approval: ({ amount }) => amount > FREE_AMOUNT,
      as: "service",
      execute: (input, context) => run("pay", input, context),
    }),
    pick: tool({ description: "A client answers it.", input: z.object({ label }) }),
    slow: tool({
      description: "Takes long, in part of the runs longer than its worker lives.",
      input: z.object({ label, ms }),
      as: "service",
      timeoutMs: 30_000,
      execute: (input, context) => run("slow", input, context),
    }),
    fail: tool({
      description: "Fails, after it has taken effect.",
      input: z.object({ label }),
      execute: async (input, context) => {
        await run("fail", input, context);
        throw new Error("It always fails");
      },
    }),
  },
});

/** Leaves a row, and takes its time. */
async function run(
  name: string,
  input: Readonly<{ label: string; ms?: number }>,
  { supabase, callId, idempotencyKey, signal }: ToolContext,
): Promise<{ run: string }> {
  const runId = crypto.randomUUID();
  const row = { run_id: runId, call_id: callId, idempotency_key: idempotencyKey, tool: name, input };
  const { error } = await supabase.from("chaos_runs").insert(row);
  if (error !== null) throw new Error(`No row: ${error.message}`);
  await wait(input.ms ?? 0, signal);
  return { run: runId };
}

function wait(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    }, { once: true });
  });
}
