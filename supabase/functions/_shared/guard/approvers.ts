/** Who may decide about tool calls: what `APPROVERS` says. */

import { AgentError } from "../errors.ts";

/**
 * Whether somebody may decide for everybody's sessions, or for their own only, by the `app_metadata.role` of their token. Throws `forbidden`
 * for who may not decide at all. `user` is no role: somebody with such a role decides for themselves.
 */
export function decidesFor(approvers: readonly string[], role: string | undefined): "everybody" | "own" {
  if (role !== undefined && role !== "user" && approvers.includes(role)) return "everybody";
  if (approvers.includes("user")) return "own";
  throw new AgentError("forbidden", "Cannot decide: only people with another role may");
}
