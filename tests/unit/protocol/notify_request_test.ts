import assert from "node:assert/strict";
import fc from "fast-check";
import { parseNotifyRequest } from "../../../supabase/functions/_shared/protocol/notify_request.ts";

const AT = 1_735_689_600_000;

function fieldOf(body: unknown): string | undefined {
  const parsed = parseNotifyRequest(body, AT);
  return "problem" in parsed ? parsed.problem.field : undefined;
}

Deno.test("[NT5] parseNotifyRequest takes both names of a session, and a message of both forms", () => {
  const target = { kind: "session", sessionId: "s" };
  const message = { content: "x", type: "notification" };
  for (const body of [{ session_id: "s", message: "x" }, { sessionId: "s", message: { content: "x" } }]) {
    assert.deepEqual(parseNotifyRequest(body, AT), {
      request: { target, message, id: undefined, source: undefined },
    });
  }
});

Deno.test("[NT5] parseNotifyRequest names the field that is wrong", () => {
  const bad: [body: unknown, field: string][] = [
    [null, "body"],
    ["text", "body"],
    [[{ session_id: "s", message: "x" }], "body"],
    [{ message: "x" }, "session_id"],
    [{ session_id: "s", sessionId: "s", message: "x" }, "sessionId"],
    [{ session_id: "s", broadcast: true, message: "x" }, "broadcast"],
    [{ session_id: 1, message: "x" }, "session_id"],
    [{ session_id: null, message: "x" }, "session_id"],
    [{ session_id: "s".repeat(129), message: "x" }, "session_id"],
    [{ user_id: "", message: "x" }, "user_id"],
    [{ broadcast: "true", message: "x" }, "broadcast"],
    [{ activity: [], message: "x" }, "activity"],
    [{ session_id: "s", message: null }, "message"],
    [{ session_id: "s", message: ["x"] }, "message"],
    [{ session_id: "s", message: "\n\t " }, "message"],
    [{ session_id: "s", message: { content: "" } }, "message.content"],
    [{ session_id: "s", message: { content: "x", data: [] } }, "message.data"],
    [{ session_id: "s", message: { content: "x", code: 5 } }, "message.code"],
    [{ session_id: "s", message: "x", id: "\ud800" }, "id"],
    [{ session_id: "s", message: "x", id: 7 }, "id"],
    [{ session_id: "s", message: "x", source: {} }, "source"],
  ];
  for (const [body, field] of bad) assert.equal(fieldOf(body), field, JSON.stringify(body));
});

Deno.test("[NT5] parseNotifyRequest makes a request or a problem of anything at all", () => {
  const value = fc.oneof(fc.jsonValue(), fc.constantFrom("s", true, "x", { content: "x" }));
  const names = [
    "session_id",
    "sessionId",
    "user_id",
    "broadcast",
    "activity",
    "message",
    "id",
    "source",
    "__proto__",
  ];
  const fields = fc.dictionary(fc.constantFrom(...names), value, { maxKeys: 3 });
  const nearlyGood = fields.map((fields) => ({ session_id: "s", message: "x", ...fields }));
  const body = fc.oneof(fc.jsonValue(), fields, nearlyGood);
  let good = 0;
  fc.assert(
    fc.property(body, (body) => {
      const parsed = parseNotifyRequest(JSON.parse(JSON.stringify(body)), AT);
      if ("request" in parsed) {
        good++;
        // It must be serializable as JSON.
        JSON.stringify(parsed.request);
      } else {
        assert.ok(parsed.problem.field !== "" && parsed.problem.expected !== "");
      }
    }),
    { numRuns: 5000 },
  );
  assert.ok(good > 100, `${good} were good`);
});
