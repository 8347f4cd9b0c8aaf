/** Decisions about tool calls from outside of their session. */

import type { ApprovalDecidedEvent } from "../protocol/tool_events.ts";
import type { SessionOwner } from "./session_store.ts";

/** What somebody has decided about a tool call. */
export interface Decision
  extends Pick<ApprovalDecidedEvent, "decisionId" | "verdict" | "input" | "comment" | "by"> {
  sessionId: string;
  approvalId: string;
  /** The session must be one of these owners'; undefined: whoever's it is. */
  claims: readonly SessionOwner[] | undefined;
}

/** Takes decisions from outside of a session. */
export interface ApprovalStore {
  /**
   * Appends the decision to the session's log, unless there is one. The same `decisionId` again changes nothing. Resolves with its
   * `seq`. Rejects with `unknown_session`, `unknown_approval`, `already_decided`, and with `store_unavailable`.
   */
  decide(decision: Decision): Promise<{ seq: number }>;
}
