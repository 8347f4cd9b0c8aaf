/**
 * An agent that helps with orders. `deno task dev` runs it until supabase/functions/agent_websocket/agent.ts has an agent of yours.
 *
 * To start with it, copy it there, and change the import of `mod.ts` to "../_shared/agent/mod.ts". orders.sql has the tables.
 */

import * as z from "zod";
import { defineAgent, tool } from "../../supabase/functions/_shared/agent/mod.ts";

/** Refunds above this need approval. */
const FREE_REFUND = 20;

export default defineAgent({
  instructions: ({ user }) =>
    `You help ${user?.email ?? "a visitor"} with their orders. Look orders up before you talk about them.`,

  tools: {
    find_orders: tool({
      description: "Lists the user's orders.",
      input: z.object({ status: z.enum(["open", "shipped"]).optional() }),
      // With the user's own rights: the policies of the table decide which rows there are.
      execute: ({ status }, { supabase }) => {
        const orders = supabase.from("orders").select("id, item, status, total, refunded").order("id").limit(
          20,
        );
        return status === undefined ? orders : orders.eq("status", status);
      },
    }),

    order_status: tool({
      description: "Says what has become of one order, by its number.",
      input: z.object({ order_id: z.int() }),
      execute: async ({ order_id }, { supabase }) => {
        const { data, error } = await supabase.from("orders").select("id, item, status").eq("id", order_id);
        if (error !== null) throw new Error(error.message);
        if (data.length === 0) throw new Error(`there is no order ${order_id}`);
        return data[0];
      },
    }),

    refund_order: tool({
      description: "Refunds an order, or a part of its total.",
      input: z.object({ order_id: z.int(), amount: z.number().positive() }),
      approval: ({ amount }) => amount > FREE_REFUND,
      // The database function pays once for each key, so the call may run again if its worker died.
      idempotent: true,
      execute: ({ order_id, amount }, { supabase, idempotencyKey }) =>
        supabase.rpc("refund", { order_id, amount, key: idempotencyKey }),
    }),
  },
});
