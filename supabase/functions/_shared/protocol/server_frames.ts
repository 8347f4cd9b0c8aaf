/**
 * Frames that the server sends. The types come from the schemas, and tests check every frame against them. Outgoing frames are not validated
 * at run time.
 */

import * as z from "zod";
import { ERROR_CODES } from "../errors.ts";

const seq = z.int().min(1).describe("Place of a durable event in the session's log: 1, 2, 3 … without gaps");
const stamp = z.iso.datetime().describe("Time of sending; for a durable event, time of its commit");
const queryId = z.string().describe(
  "The id of the frame that this answers, or the id that the server generated for it",
);
const turnId = z.string().describe("The turn: one query with its answer");
const ref = z.int().min(1).describe(
  "With deltas=short: the number that the short frames of this turn have instead of its ids",
);
const textOffset = z.int().min(0).describe(
  "UTF-16 index at which content starts: text = text.slice(0, offset) + content",
);
const reasoningOffset = z.int().min(0).describe(
  "UTF-16 index at which content starts: reasoning = reasoning.slice(0, offset) + content",
);

/** The token counts of an answer. */
export const usage = z.object({
  prompt_tokens: z.int(),
  completion_tokens: z.int(),
  total_tokens: z.int(),
  reasoning_tokens: z.int().optional().describe("Those of completion_tokens that the model thought with"),
  cost: z.number().optional().describe("US dollars"),
  estimated: z.literal(true).optional().describe("The provider has not reported them"),
});

/** An answer that was begun by one worker and continued by another. */
export const continued = z.object({
  ways: z.array(z.enum(["prefill", "anchored", "restart"])).describe(
    "How the model was asked to continue, in order. The last way has brought the text",
  ),
});

/** The welcome, a notice, or a message pushed into the session. */
export const notificationFrame = z.object({
  type: z.literal("notification"),
  content: z.string(),
  timestamp: stamp,
  code: z.string().optional().describe("connected, reconnecting, token_expiring, session_timeout"),
  seq: seq.optional(),
  id: z.string().optional().describe(
    "For a notification from another function: the sender's idempotency key",
  ),
  source: z.string().optional().describe("The sender's name"),
  data: z.record(z.string(), z.unknown()).optional(),
  // The welcome only
  session_id: z.string().optional(),
  chat_id: z.string().optional().describe("The app's own name for the conversation, if it has one"),
  connection_id: z.string().optional(),
  resume_token: z.string().optional(),
  durable: z.boolean().optional(),
  protocol: z.literal(1).optional(),
  limits: z.record(z.string(), z.number()).optional(),
  resumed: z.object({
    recovered: z.boolean(),
    from_seq: z.int(),
    to_seq: z.int(),
    reason: z.enum(["gap", "unknown_session", "cursor_ahead"]).optional(),
  }).optional(),
});

/** The state of a query, or the result of a command. With `code: "cancelled"` it ends a turn. */
export const statusFrame = z.object({
  type: z.literal("status"),
  content: z.string(),
  timestamp: stamp,
  code: z.string(),
  seq: seq.optional(),
  turn_id: turnId.optional(),
  in_reply_to: queryId.optional(),
  replay: z.literal(true).optional(),
  reason: z.string().optional(),
  partial: z.string().optional(),
  usage: usage.optional(),
  id: z.string().optional().describe(
    "For a notification from another function: the sender's idempotency key",
  ),
  source: z.string().optional(),
  data: z.record(z.string(), z.unknown()).optional(),
});

/** A piece of a running answer, for connections that asked for deltas. */
export const deltaFrame = z.object({
  type: z.literal("delta"),
  content: z.string(),
  timestamp: stamp,
  turn_id: turnId,
  in_reply_to: queryId,
  ref: ref.optional(),
  offset: textOffset,
});

/** A piece of what the model thinks while it answers, for connections that asked for it. It is not part of the answer. */
export const reasoningFrame = z.object({
  type: z.literal("reasoning"),
  content: z.string(),
  timestamp: stamp,
  turn_id: turnId,
  in_reply_to: queryId,
  ref: ref.optional(),
  offset: reasoningOffset,
});

/** With `deltas=short`: a delta of a turn of which the connection was sent a delta or reasoning with its ids and this `ref`. */
export const shortDeltaFrame = z.object({
  type: z.literal("delta"),
  ref,
  offset: textOffset,
  content: z.string(),
});

/** The same for reasoning. */
export const shortReasoningFrame = z.object({
  type: z.literal("reasoning"),
  ref,
  offset: reasoningOffset,
  content: z.string(),
});

/** A whole answer; it ends a turn. */
export const responseFrame = z.object({
  type: z.literal("response"),
  content: z.string(),
  timestamp: stamp,
  seq,
  turn_id: turnId,
  in_reply_to: queryId,
  finish_reason: z.string(),
  model: z.string(),
  usage: usage.optional(),
  continued: continued.optional(),
  data: z.object({
    trimmed: z.int().min(1).optional().describe(
      "How many messages, oldest first, the model was not given because the prompt was too long",
    ),
  }).optional(),
  replay: z.literal(true).optional(),
});

/** A query, as other connections than the asking one get it, and as a replay has it. */
export const queryEchoFrame = z.object({
  type: z.literal("query"),
  content: z.string(),
  timestamp: stamp,
  seq,
  id: queryId,
  turn_id: turnId,
});

/** Something was refused or failed. With a `seq` it ends a turn. */
export const errorFrame = z.object({
  type: z.literal("error"),
  content: z.string(),
  timestamp: stamp,
  code: z.enum(ERROR_CODES),
  retryable: z.boolean(),
  retry_after_ms: z.int().optional(),
  in_reply_to: queryId.optional(),
  seq: seq.optional(),
  turn_id: turnId.optional(),
  partial: z.string().optional(),
  usage: usage.optional(),
  replay: z.literal(true).optional(),
  limit: z.number().optional(),
  remaining: z.number().optional(),
});

const callId = z.string().describe("The tool call. It is also the id of its approval");
const inputValue = z.unknown().describe("The tool's input, a JSON value");
const toolName = z.string().describe("The tool");
const expiresAt = z.iso.datetime().describe("Until when the call waits");
const ofCall = {
  content: z.string().describe("What happens, in words"),
  timestamp: stamp,
  seq,
  turn_id: turnId,
  in_reply_to: queryId,
  call_id: callId,
};

/** With `tools=true`: the model calls a tool. All calls of a step come before any of them runs. */
export const toolCallFrame = z.object({
  type: z.literal("tool_call"),
  ...ofCall,
  step: z.int().min(1).describe("Which step of the turn: one model call with the tools it calls"),
  name: toolName,
  input: inputValue,
  needs: z.enum(["nothing", "approval", "client"]).describe(
    "approval: a person must allow it. client: a client must run it and send a tool_result",
  ),
  expires_at: expiresAt.optional(),
  text: z.string().optional().describe("The text of the step, at its first call"),
});

/** With `tools=true`: a person must decide, by `human_feedback` with this `approval_id`. */
export const approvalRequestedFrame = z.object({
  type: z.literal("approval_requested"),
  ...ofCall,
  approval_id: callId,
  name: toolName,
  input: inputValue,
  expires_at: expiresAt,
});

/** With `tools=true`: the decision that counts. */
export const approvalDecidedFrame = z.object({
  type: z.literal("approval_decided"),
  ...ofCall,
  approval_id: callId,
  verdict: z.enum(["approve", "reject", "modify", "expired"]),
  input: inputValue.optional(),
  comment: z.string().optional(),
  by: z.string().optional().describe("The user who has decided"),
});

/** With `tools=true`: the call is about to run. */
export const toolStartedFrame = z.object({
  type: z.literal("tool_started"),
  ...ofCall,
  name: toolName,
});

/** With `tools=true`: what came of the call. */
export const toolResultFrame = z.object({
  type: z.literal("tool_result"),
  ...ofCall,
  name: toolName,
  outcome: z.enum(["ok", "error", "unknown"]).describe(
    "unknown: its worker died while it ran, and it must not run twice",
  ),
  output: z.string().describe("What the model is told. Data from elsewhere: never markup"),
});

/** Sent at intervals to connections that asked for it. */
export const heartbeatFrame = z.object({
  type: z.literal("heartbeat"),
  content: z.literal("heartbeat"),
  timestamp: stamp,
});

/** Any frame the server sends, except for the short ones. */
export const serverFrame = z.discriminatedUnion("type", [
  notificationFrame,
  statusFrame,
  deltaFrame,
  reasoningFrame,
  responseFrame,
  queryEchoFrame,
  errorFrame,
  toolCallFrame,
  approvalRequestedFrame,
  approvalDecidedFrame,
  toolStartedFrame,
  toolResultFrame,
  heartbeatFrame,
]);

/** A frame that only connections with `deltas=short` get. */
export const shortFrame = z.discriminatedUnion("type", [shortDeltaFrame, shortReasoningFrame]);

/** Anything the server sends. */
export const anyServerFrame = z.union([serverFrame, shortFrame]);

export type NotificationFrame = z.infer<typeof notificationFrame>;
export type StatusFrame = z.infer<typeof statusFrame>;
export type DeltaFrame = z.infer<typeof deltaFrame>;
export type ReasoningFrame = z.infer<typeof reasoningFrame>;
export type ResponseFrame = z.infer<typeof responseFrame>;
export type ErrorFrame = z.infer<typeof errorFrame>;
export type ToolFrame = z.infer<
  | typeof toolCallFrame
  | typeof approvalRequestedFrame
  | typeof approvalDecidedFrame
  | typeof toolStartedFrame
  | typeof toolResultFrame
>;
export type ServerFrame = z.infer<typeof serverFrame>;
export type ShortFrame = z.infer<typeof shortFrame>;
