/**
 * What the server sends. Types come from the schemas; tests check every frame they see against them. Nothing is
 * validated on the way out: it is ours.
 */

import * as z from "zod";
import { ERROR_CODES } from "../errors.ts";

const seq = z.int().min(1).describe("Place of a durable event in its session: 1, 2, 3 … without holes");
const stamp = z.iso.datetime().describe("When it was sent; of a durable event, when it was committed");
const queryId = z.string().describe("The id of the frame that this answers, or the one the server gave it");
const turnId = z.string().describe("The turn: one query with its answer");

/** What an answer took, as the provider counts it. */
export const usage = z.object({
  prompt_tokens: z.int(),
  completion_tokens: z.int(),
  total_tokens: z.int(),
  cost: z.number().optional().describe("US dollars"),
});

/** The welcome, a notice, or a message pushed into the session. */
export const notificationFrame = z.object({
  type: z.literal("notification"),
  content: z.string(),
  timestamp: stamp,
  code: z.string().optional().describe("connected, reconnecting, token_expiring, session_timeout"),
  seq: seq.optional(),
  id: z.string().optional().describe("Of one that another function sent: the sender's key for it"),
  source: z.string().optional().describe("Who sent it"),
  data: z.record(z.string(), z.unknown()).optional(),
  // Of the welcome only
  session_id: z.string().optional(),
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

/** Where a query stands, or what a command did. With `code: "cancelled"` it ends a turn. */
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
  id: z.string().optional().describe("Of one that another function sent: the sender's key for it"),
  source: z.string().optional(),
  data: z.record(z.string(), z.unknown()).optional(),
});

/** A piece of an answer that is being written; sent to those who asked for it. */
export const deltaFrame = z.object({
  type: z.literal("delta"),
  content: z.string(),
  timestamp: stamp,
  turn_id: turnId,
  in_reply_to: queryId,
  offset: z.int().min(0).describe(
    "UTF-16 index at which content starts: text = text.slice(0, offset) + content",
  ),
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
  replay: z.literal(true).optional(),
});

/** A query, as every connection but the one that asked is shown it, and as a replay shows it. */
export const queryEchoFrame = z.object({
  type: z.literal("query"),
  content: z.string(),
  timestamp: stamp,
  seq,
  id: queryId,
  turn_id: turnId,
});

/** What was refused or has failed. With a `seq` it ends a turn. */
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
  replay: z.literal(true).optional(),
  limit: z.number().optional(),
  remaining: z.number().optional(),
});

/** Sent each interval to those who asked for it. */
export const heartbeatFrame = z.object({
  type: z.literal("heartbeat"),
  content: z.literal("heartbeat"),
  timestamp: stamp,
});

/** Any frame the server sends. */
export const serverFrame = z.discriminatedUnion("type", [
  notificationFrame,
  statusFrame,
  deltaFrame,
  responseFrame,
  queryEchoFrame,
  errorFrame,
  heartbeatFrame,
]);

export type NotificationFrame = z.infer<typeof notificationFrame>;
export type StatusFrame = z.infer<typeof statusFrame>;
export type ResponseFrame = z.infer<typeof responseFrame>;
export type ErrorFrame = z.infer<typeof errorFrame>;
export type ServerFrame = z.infer<typeof serverFrame>;
