// supabase/functions/agent_websocket/agent.ts
import * as z from "zod";
import { defineAgent, tool } from "../../supabase/functions/_shared/agent/mod.ts";
const roll = tool({
  description: "Rolls a die.",
  input: z.object({}),
  execute: () => 1 + Math.floor(6 * Math.random()),
});
export default defineAgent({ tools: { roll_die: roll } });
