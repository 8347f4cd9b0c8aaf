/** The words of what the core refuses. */

import { AgentError, type ErrorCode } from "../errors.ts";
import type { Refusal } from "./core/effect.ts";

const WORDS: Partial<Record<ErrorCode, string>> = {
  busy: "an answer is being written",
  queue_full: "as many as may wait are waiting already",
  id_conflict: 'its "id" was used for another one',
  unknown_query: '"replaces" must be the "id" of an earlier query of this session',
  shutting_down: "this worker is being replaced",
  store_unavailable: "the database cannot be reached",
  unknown_session: "the session is no more",
  unknown_approval: 'nothing waits for this "approval_id"',
  unknown_call: 'no tool call waits for a client under this "call_id"',
  already_decided: "somebody was first, or nobody was in time",
};
const FOR_GOOD: readonly ErrorCode[] = [
  "id_conflict",
  "unknown_session",
  "unknown_query",
  "unknown_approval",
  "unknown_call",
  "already_decided",
  "option_not_allowed",
];

/** `action`: what could not be done, such as "take query". */
export function toError({ code, retryAfterMs }: Refusal, action: string): AgentError {
  return new AgentError(code, `Cannot ${action}: ${WORDS[code] ?? "something went wrong on the server"}`, {
    retryable: !FOR_GOOD.includes(code),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  });
}
