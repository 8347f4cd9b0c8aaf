import assert from "node:assert/strict";
import { Approver, type Decider } from "../../../supabase/functions/_shared/notify/approver.ts";
import type { Decision } from "../../../supabase/functions/_shared/ports/approvals.ts";
import { parseDecisionRequest } from "../../../supabase/functions/_shared/protocol/decision_request.ts";

const SESSION = "00000000-0000-4000-8000-000000000001";
const BODY = { session_id: SESSION, approval_id: "t:1.1:0", verdict: "approve", id: "d" };

function requestOf(
  body: unknown,
): Extract<ReturnType<typeof parseDecisionRequest>, { request: unknown }>["request"] {
  const parsed = parseDecisionRequest(body);
  assert.ok("request" in parsed, JSON.stringify(parsed));
  return parsed.request;
}

function problemOf(body: unknown): string {
  const parsed = parseDecisionRequest(body);
  assert.ok("problem" in parsed);
  return `${parsed.problem.field} ${parsed.problem.expected}`;
}

Deno.test("[TL15] who may decide: the project, the session's own user, and people with a role", async () => {
  const decisions: Decision[] = [];
  const calls: unknown[] = [];
  const approverFor = (...approvers: string[]): Approver =>
    new Approver({
      ids: { uuid: () => "made" },
      approvers,
      store: () =>
        Promise.resolve({
          decide: (decision) => {
            decisions.push(decision);
            return Promise.resolve({ seq: 7 });
          },
        }),
      call: (...rung) => void calls.push(rung),
      wake: (sessionId) => void calls.push(sessionId),
    });
  const claimsFor = async (approvers: string[], decider: Decider): Promise<unknown> => {
    const { seq } = await approverFor(...approvers).decide(requestOf(BODY), decider);
    assert.equal(seq, 7);
    return decisions.at(-1)?.claims;
  };
  const ann = { kind: "user", userId: "ann", role: undefined } as const;
  const support = { kind: "user", userId: "sue", role: "support" } as const;
  const own = (userId: string): unknown => [{ kind: "user", userId }];
  assert.equal(await claimsFor(["user"], { kind: "service" }), undefined);
  assert.deepEqual(await claimsFor(["user"], ann), own("ann"));
  assert.deepEqual(await claimsFor(["user"], support), own("sue"));
  assert.equal(await claimsFor(["user", "support"], support), undefined);
  assert.equal(decisions.at(-1)?.by, "sue");
  assert.deepEqual(await claimsFor(["user"], { ...ann, role: "user" }), own("ann"), "`user` is no role");
  await assert.rejects(() => claimsFor(["support"], ann), { code: "forbidden" });
  assert.deepEqual(calls.slice(0, 2), [[SESSION, { kind: "appended", seq: 7 }], SESSION]);
  const { decisionId, verdict, approvalId, sessionId } = decisions[0] ?? {};
  assert.deepEqual([decisionId, verdict, approvalId, sessionId], ["d", "approve", "t:1.1:0", SESSION]);
});

Deno.test("[TL15] a body is checked, and the field that is wrong is named", () => {
  assert.equal(problemOf({ ...BODY, session_id: "x" }), "session_id must be a UUID");
  assert.equal(problemOf({ ...BODY, verdict: "yes" }), "verdict must be approve, reject or modify");
  assert.equal(problemOf({ ...BODY, verdict: "modify" }), "input must be there with modify");
  assert.equal(problemOf([]), "body must be a JSON object");
  assert.deepEqual(requestOf({ ...BODY, verdict: "modify", input: { amount: 1 } }).input, { amount: 1 });
});
