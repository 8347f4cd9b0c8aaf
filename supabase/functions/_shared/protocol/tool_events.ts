/** The durable events of tool calls: a turn's steps, what they wait for, and what came of them. */

/** What a call waits for before it may run; `client`: a client runs it and sends the result. */
export type CallNeeds = "nothing" | "approval" | "client";

interface OfCall {
  /** The client's id of the query. */
  queryId: string;
  turnId: string;
  /** `<turn id>:<step>.<epoch>:<place in the step>`: unique everywhere, and the same whenever the call runs again. */
  callId: string;
}

/**
 * The model wants a tool to be called. A step is the text of one model call and the calls at its end; they are appended in one write,
 * before any of them runs.
 */
export interface ToolCallEvent extends OfCall {
  kind: "tool_call";
  /** 1, 2, 3 … within the turn. */
  step: number;
  name: string;
  /** A JSON value. */
  input: unknown;
  needs: CallNeeds;
  /** Whether it runs with the token of a live connection of the user. */
  asUser: boolean;
  /** Whether it may run again if nobody knows what came of it. */
  isIdempotent: boolean;
  /** Until when it waits for a person, a client or the user, in milliseconds since the epoch. */
  expiresAt: number;
  /** The text of the step; only in its first call, and left out if there is none. */
  content?: string;
  /** The provider's `reasoning_details` of the step; only in its first call. */
  reasoningDetails?: readonly unknown[];
}

/** A person must decide whether a call may run. The id of the approval is that of the call. */
export interface ApprovalRequestedEvent extends OfCall {
  kind: "approval_requested";
  name: string;
  input: unknown;
  expiresAt: number;
}

/** `expired`: nobody has decided in time. */
export type ApprovalVerdict = "approve" | "reject" | "modify" | "expired";

/** The first decision about a call. Later ones are not appended. */
export interface ApprovalDecidedEvent extends OfCall {
  kind: "approval_decided";
  /** The sender's key of this decision, or the server's. */
  decisionId: string;
  verdict: ApprovalVerdict;
  /** The edited input, with `modify`. */
  input?: unknown;
  /** What the model is told, with `reject`. */
  comment?: string;
  /** The `sub` of the person who has decided; left out if it is not known. */
  by?: string;
}

/** A worker is about to run a call. It is appended at most once, so a call without a result that was started may have run. */
export interface ToolStartedEvent extends OfCall {
  kind: "tool_started";
  name: string;
  /** Of the lease under which it runs. */
  epoch: number;
}

/** `unknown`: its worker is gone, and the tool must not run twice. */
export type ResultOutcome = "ok" | "error" | "unknown";

/** What came of a call. */
export interface ToolResultEvent extends OfCall {
  kind: "tool_result";
  name: string;
  outcome: ResultOutcome;
  /** For the model. */
  output: string;
  /** The connection that has answered a client's tool. */
  connectionId?: string;
}

export type ToolEvent =
  | ToolCallEvent
  | ApprovalRequestedEvent
  | ApprovalDecidedEvent
  | ToolStartedEvent
  | ToolResultEvent;

const KEYS: Readonly<Record<ToolEvent["kind"], string>> = {
  tool_call: "k",
  approval_requested: "a",
  approval_decided: "d",
  tool_started: "s",
  tool_result: "r",
};

/** Whether the event is about a tool call. */
export function isToolEvent<T extends { kind: string }>(event: T): event is T & ToolEvent {
  return event.kind in KEYS;
}

/** The key of the event within its session. */
export function toolKeyOf({ kind, callId }: ToolEvent): string {
  return `${KEYS[kind]}:${callId}`;
}

/** Whether the log's event is the one that was written, and not somebody else's of the same kind about the same call. */
export function isSameToolEvent(written: ToolEvent, logged: { kind: string }): boolean {
  if (!isToolEvent(logged) || toolKeyOf(logged) !== toolKeyOf(written)) return false;
  if (written.kind === "approval_decided" && logged.kind === "approval_decided") {
    return logged.decisionId === written.decisionId;
  }
  if (written.kind === "tool_started" && logged.kind === "tool_started") {
    return logged.epoch === written.epoch;
  }
  if (written.kind === "tool_result" && logged.kind === "tool_result") {
    return logged.connectionId === written.connectionId && logged.output === written.output;
  }
  return true;
}

/** About the length of the event's own text, in UTF-16 units. */
export function toolChars(event: ToolEvent): number {
  switch (event.kind) {
    case "tool_call":
      return jsonChars(event.input) + (event.content?.length ?? 0) + jsonChars(event.reasoningDetails);
    case "approval_requested":
      return jsonChars(event.input);
    case "approval_decided":
      return jsonChars(event.input) + (event.comment?.length ?? 0);
    case "tool_started":
      return 0;
    case "tool_result":
      return event.output.length;
  }
}

function jsonChars(value: unknown): number {
  return JSON.stringify(value)?.length ?? 0;
}
