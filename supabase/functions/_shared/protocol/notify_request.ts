/** The body of a post to `notify_websocket`. */

import * as z from "zod";
import { frameId } from "./client_frames.ts";
import { type OwnedActivity, parsePublishedActivity } from "./published_activity.ts";

const nonEmpty = z.string("must be a string").min(1, "must not be empty").max(
  128,
  "must have at most 128 characters",
);
const content = z.string("must be a string").refine((text) => text.trim() !== "", "must not be empty")
  .transform((text) => text.toWellFormed());

/** The message of a notification. A string is the content alone. */
export const notifyMessage = z.union([
  content.transform((text) => ({ content: text, type: "notification" as const })),
  z.object({
    content,
    type: z.enum(["notification", "status"], "must be notification or status").default("notification"),
    code: nonEmpty.optional(),
    data: z.record(z.string(), z.unknown(), "must be an object").optional(),
  }),
], "must be a non-empty string, or an object with content");

const fields = z.object({
  session_id: nonEmpty.optional(),
  sessionId: nonEmpty.optional(),
  user_id: nonEmpty.optional(),
  broadcast: z.literal(true, "must be true").optional(),
  activity: z.record(z.string(), z.unknown(), "must be an object").optional(),
  message: z.unknown().optional(),
  id: frameId.optional(),
  source: nonEmpty.optional(),
}, "must be a JSON object");

export type NotifyMessage = z.output<typeof notifyMessage>;

/** The recipient of a notification. */
export type NotifyTarget =
  | { kind: "session"; sessionId: string }
  | { kind: "user"; userId: string }
  | { kind: "broadcast" };

export type NotifyRequest =
  & { id: string | undefined; source: string | undefined }
  & ({ target: NotifyTarget; message: NotifyMessage } | { activity: OwnedActivity });

/** Which field is wrong, and what was expected of it. */
export interface NotifyProblem {
  field: string;
  expected: string;
}

const TARGETS = ["session_id", "sessionId", "user_id", "broadcast", "activity"] as const;

/** Checks a parsed JSON body. `at` is the time of arrival, in milliseconds since the epoch. */
export function parseNotifyRequest(
  body: unknown,
  at: number,
): { request: NotifyRequest } | { problem: NotifyProblem } {
  const parsed = fields.safeParse(body);
  if (!parsed.success) return wrong(parsed.error);
  const { session_id, sessionId = session_id, user_id: userId, broadcast, activity, id, source } =
    parsed.data;
  const named = TARGETS.filter((name) => parsed.data[name] !== undefined);
  if (named.length !== 1) {
    const expected = `exactly one of ${TARGETS.join(", ")}, got ${
      named.length === 0 ? "none" : named.join(" and ")
    }`;
    return { problem: { field: named[1] ?? "session_id", expected } };
  }
  if (activity !== undefined) {
    const owned = parsePublishedActivity(activity, at);
    return "problem" in owned ? owned : { request: { activity: owned, id, source } };
  }
  const message = notifyMessage.safeParse(parsed.data.message);
  if (!message.success) return wrong(message.error, "message");
  const target = toTarget({ sessionId, userId, broadcast });
  return { request: { target, message: message.data, id, source } };
}

function toTarget(
  { sessionId, userId }: Record<"sessionId" | "userId", string | undefined> & { broadcast: unknown },
): NotifyTarget {
  if (sessionId !== undefined) return { kind: "session", sessionId };
  return userId === undefined ? { kind: "broadcast" } : { kind: "user", userId };
}

function wrong(error: z.ZodError, ...above: string[]): { problem: NotifyProblem } {
  const issue = innermost(error.issues[0]);
  const field = [...above, ...(issue?.path ?? [])].join(".") || "body";
  return { problem: { field, expected: issue?.message ?? "another shape" } };
}

/** The issue of the union's branch that matched furthest: the object branch, if an object was sent. */
function innermost(
  issue: z.core.$ZodIssue | undefined,
): { path: readonly PropertyKey[]; message: string } | undefined {
  if (issue?.code !== "invalid_union") return issue;
  const deepest = issue.errors.flat().find(({ path }) => path.length > 0);
  return deepest ?? issue;
}
