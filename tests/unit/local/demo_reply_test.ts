import assert from "node:assert/strict";
import { demoReply } from "../../../local/demo_reply.ts";

Deno.test("the mock model thinks before it answers a riddle, and not when it only continues that answer", () => {
  const asked = { role: "user", content: "Think about a riddle" };
  const { text, reasoning } = demoReply([asked]);
  assert.match(text, /a towel/);
  assert.match(reasoning, /wetter/);
  const begun = { role: "assistant", content: text.slice(0, 10) };
  assert.deepEqual(demoReply([asked, begun]), { text: text.slice(10), reasoning: "", slow: false });
  assert.equal(demoReply([{ role: "user", content: "Hello" }]).reasoning, "");
});
