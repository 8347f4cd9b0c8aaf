/** The body of a post to `notify_websocket/approvals`. */

import * as z from "zod";
import { decisionFields } from "./client_frames.ts";
import type { NotifyProblem } from "./notify_request.ts";

const fields = z.object({
  session_id: z.uuid("must be a UUID"),
  by: z.string("must be a string").min(1, "must not be empty").max(255, "must have at most 255 characters")
    .optional(),
  ...decisionFields,
}, "must be a JSON object");

/** Somebody's decision about a tool call of a session. */
export type DecisionRequest = z.output<typeof fields>;

/** Checks a parsed JSON body. */
export function parseDecisionRequest(
  body: unknown,
): { request: DecisionRequest } | { problem: NotifyProblem } {
  const parsed = fields.safeParse(body);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    return { problem: { field: issue?.path.join(".") || "body", expected: issue?.message ?? "is wrong" } };
  }
  const { verdict, input } = parsed.data;
  if (verdict === "modify" && input === undefined) {
    return { problem: { field: "input", expected: "must be there with modify" } };
  }
  return { request: parsed.data };
}
