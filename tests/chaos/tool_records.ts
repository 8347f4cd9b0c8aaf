/** The records of tool calls: what the log has of them, and what clients have sent. */

export const TOOL_KINDS = [
  "tool_call",
  "approval_requested",
  "approval_decided",
  "tool_started",
  "tool_result",
] as const;
export type ToolKind = typeof TOOL_KINDS[number];

/** A call with everything that the log has about it. */
export interface LoggedCall {
  callId: string;
  queryId: string;
  step: number;
  seq: number;
  name: string;
  input: unknown;
  needs: string;
  isIdempotent: boolean;
  /** In milliseconds since the epoch. */
  expiresAt: number;
  decisions: LoggedDecision[];
  /** The `seq` of each start. */
  starts: number[];
  results: LoggedResult[];
}

export interface LoggedDecision {
  seq: number;
  id: string;
  verdict: string;
  input?: unknown;
  comment?: string;
  /** When the database took it, in milliseconds since the epoch. */
  at: number;
}

export interface LoggedResult {
  seq: number;
  outcome: string;
  output: string;
}

export type Verdict = "approve" | "reject" | "modify";

/** A decision that somebody has sent, perhaps several times. */
export interface DecisionRecord {
  id: string;
  callId: string;
  verdict: Verdict;
  input?: unknown;
  comment?: string;
  /** `stranger`: another user, or for an approval that does not exist. It must have no effect. */
  by: "client" | "service" | "user" | "stranger";
  /** `received`, or the code of the refusal; undefined if no answer came. */
  answer?: string;
}

/** A client's result of a call. */
export interface ClientResultRecord {
  id: string;
  callId: string;
  /** A text that no other result contains. The log marks the result as the tool's. */
  words: string;
  answer?: string;
}
