import * as z from "zod";
import { defineAgent, tool } from "../../supabase/functions/_shared/agent/mod.ts";

export default defineAgent({
  instructions: "You help with board games.",
  tools: {
    roll_dice: tool({
      description: "Rolls dice with six sides.",
      input: z.object({ count: z.int().min(1).max(10).default(1) }),
      as: "nobody", // it needs no rights in the project
      execute: ({ count }) => Array.from({ length: count }, () => 1 + Math.floor(6 * Math.random())),
    }),
  },
});
