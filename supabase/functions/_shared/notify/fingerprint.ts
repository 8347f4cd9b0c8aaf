/** Distinguishes a repeated notification from a different one with the same `id`. */

import type { NotifyRequest } from "../protocol/notify_request.ts";

/**
 * The same text for the same target and content, whatever the order of the keys in `data` (JSON objects have none), and
 * whichever time the server gave to an activity.
 */
export function fingerprintOf(request: NotifyRequest, id: string): string {
  const { activity, ...others } = "activity" in request ? request : { ...request, activity: undefined };
  const { timestamp: _, ...event } = activity?.event ?? {};
  const content = activity === undefined ? others : { ...others, activity: { ...activity, event } };
  // The other keys are in the order in which the schema gives them.
  return JSON.stringify({ ...content, id }, (key, value) => key === "data" ? sorted(value) : value);
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1);
  return Object.fromEntries(entries.map(([key, inner]) => [key, sorted(inner)]));
}
