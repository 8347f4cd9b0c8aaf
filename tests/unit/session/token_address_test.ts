import assert from "node:assert/strict";
import { startAgent } from "../../support/agent_harness.ts";
import { settle } from "../../support/manual_clock.ts";

Deno.test("[AU11] a token is checked under the address of its connection, at the upgrade, in the first frame and at a renewal", async () => {
  const { connect, verifier } = startAgent({ mode: "required" });
  verifier.admit("good", "ann");
  const from = { "x-forwarded-for": "192.0.2.7" };
  const client = await connect("jwt=good", from);
  client.say({ type: "command", content: "auth", args: { token: "good" } });
  const silent = await connect("", from);
  silent.say({ type: "command", content: "auth", args: { token: "good" } });
  await settle();
  assert.deepEqual(verifier.addresses, ["192.0.2.7", "192.0.2.7", "192.0.2.7"]);
});
