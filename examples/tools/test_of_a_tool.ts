import assert from "node:assert/strict";
import agent from "./every_option.ts";

Deno.test("refunds above 20 need approval", async () => {
  const call = await agent.options.tools?.refund_order?.bind({ order_id: "1001", amount: 25 });
  assert.ok(call !== undefined && !("issues" in call));
  assert.equal(await call.needsApproval({ user: undefined, session: { id: "s" } }), true);
});
