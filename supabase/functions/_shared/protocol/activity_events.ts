/**
 * The live-activity stream: events about what the agent does, and the frames that carry them.
 *
 * Names, fields and texts are those of the original handler, so a watcher written for it works unchanged. Only watchers that ask for
 * `batch` and `subscribed` get them.
 */

import * as z from "zod";
import { ACTIVITY_EVENT_TYPES, type ActivityEventType, ANONYMOUS } from "./activity_types.ts";

const text = z.string("must be a string");
const userId = text.describe(`The owner; "${ANONYMOUS}" for an anonymous session`);
const fraction = z.number("must be a number").min(0, "must be 0 or more").max(1, "must be 1 or less");
const count = z.number("must be a number").min(0, "must be 0 or more");
const flag = z.boolean("must be true or false");

function oneOf<const Words extends readonly [string, ...string[]]>(
  words: Words,
): z.ZodEnum<{ [Word in Words[number]]: Word }> {
  return z.enum(words, `must be one of ${words.join(", ")}`);
}

/** An operation on a memory. */
export const memoryOperationData = z.object({
  operation: oneOf(["store", "recall", "update", "delete", "search"]),
  memoryId: text.exactOptional(),
  userId,
  sector: text.exactOptional(),
  success: flag,
  duration: count.exactOptional().describe("Milliseconds"),
}, "must be an object");

/** The progress of a turn. */
export const reasoningUpdateData = z.object({
  sessionId: text,
  stage: text,
  progress: fraction,
  activeStreams: z.array(text, "must be a list of strings").exactOptional(),
  mode: text.exactOptional(),
}, "must be an object");

/** The load of a worker. */
export const loadChangeData = z.object({
  loadLevel: fraction,
  activeProcesses: count,
  memoryOpsPerSecond: count,
  reasoningSessions: count,
  visualIntensity: oneOf(["low", "medium", "high"]),
}, "must be an object");

/** A change of a session. */
export const sessionEventData = z.object({
  event: oneOf(["created", "updated", "deleted"]),
  sessionId: text,
  userId: userId.exactOptional(),
}, "must be an object");

/** A change of a worker. */
export const systemEventData = z.object({
  event: oneOf(["startup", "shutdown", "health_change", "config_change"]),
  status: text.exactOptional(),
  message: text.exactOptional(),
}, "must be an object");

export type MemoryOperationData = z.infer<typeof memoryOperationData>;
export type ReasoningUpdateData = z.infer<typeof reasoningUpdateData>;
export type LoadChangeData = z.infer<typeof loadChangeData>;
export type SessionEventData = z.infer<typeof sessionEventData>;
export type SystemEventData = z.infer<typeof systemEventData>;

/** One event, as it goes over the wire. */
export interface ActivityEvent {
  type: ActivityEventType;
  /** ISO 8601. */
  timestamp: string;
  data:
    | MemoryOperationData
    | ReasoningUpdateData
    | LoadChangeData
    | SessionEventData
    | SystemEventData
    | { message: string };
}

const timestamp = z.iso.datetime({ error: "must be a date and time in ISO 8601, in UTC" });
const words = z.object({ message: text });

/** The schema of one event. Tests check every frame against it. */
export const activityEvent = z.discriminatedUnion("type", [
  z.object({ type: z.literal("memory_operation"), timestamp, data: memoryOperationData }),
  z.object({ type: z.literal("reasoning_update"), timestamp, data: reasoningUpdateData }),
  z.object({ type: z.literal("load_change"), timestamp, data: loadChangeData }),
  z.object({ type: z.literal("session_event"), timestamp, data: sessionEventData }),
  z.object({ type: z.literal("system_event"), timestamp, data: systemEventData }),
  z.object({ type: z.literal("heartbeat"), timestamp, data: words }),
  z.object({ type: z.literal("connection_established"), timestamp, data: words }),
]);

/** Several events in one frame, oldest first: for a watcher that subscribed with `batch_ms`. */
export const activityBatch = z.object({ type: z.literal("batch"), events: z.array(activityEvent).min(1) });

/** The answer to a `subscribe` with `ack: true`: the subscription in force. */
export const activitySubscribed = z.object({
  type: z.literal("subscribed"),
  timestamp,
  data: z.object({
    types: z.array(z.enum(ACTIVITY_EVENT_TYPES)).describe("The whole subscription; empty means all types"),
    unknown: z.array(z.unknown()).describe("Requested names that are not types"),
    batch_ms: z.int().min(0),
  }),
});

export type SubscribedFrame = z.infer<typeof activitySubscribed>;
