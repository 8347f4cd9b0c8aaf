/** Logs of turns that call tools. */

import { approvalDecided, approvalRequested, query, response, toolCall, toolResult } from "./log_events.ts";
import type { rowsOf } from "./session_rows.ts";

export type Log = Parameters<typeof rowsOf>[0];

/** Two steps with text, and what followed them. */
export const STEPS: Log = [
  query("a", "Refund it"),
  toolCall("a", "find", { input: { status: "open" }, content: "Let me look." }),
  toolCall("a", "count", { place: 1 }),
  toolResult("a", "find", { output: '{"orders":2}' }),
  toolResult("a", "count", { place: 1, output: "no access", outcome: "error" }),
  toolCall("a", "refund", { step: 2, needs: "approval", input: { amount: 25 }, content: "\n\nTwo." }),
  approvalRequested("a", "refund", { step: 2 }),
  approvalDecided("a", "modify", { step: 2, input: { amount: 10 }, comment: "less" }),
  toolResult("a", "refund", { step: 2, output: "[1]" }),
  response("a", "Let me look.\n\nTwo.\n\nDone."),
];

/** Calls in every other state. */
export const STATES: Log = [
  query("b", "And now?"),
  toolCall("b", "no", { needs: "approval" }),
  toolCall("b", "late", { needs: "approval", place: 1 }),
  toolCall("b", "yes", { needs: "approval", place: 2 }),
  toolCall("b", "when", { needs: "approval", place: 3 }),
  toolCall("b", "pick", { needs: "client", place: 4 }),
  toolCall("b", "gone", { place: 5 }),
  approvalRequested("b", "no"),
  approvalRequested("b", "late", { place: 1 }),
  approvalRequested("b", "yes", { place: 2 }),
  approvalRequested("b", "when", { place: 3 }),
  approvalDecided("b", "reject", { comment: "too much" }),
  approvalDecided("b", "expired", { place: 1 }),
  approvalDecided("b", "approve", { place: 2 }),
  toolResult("b", "gone", { place: 5, output: "lost", outcome: "unknown" }),
];
