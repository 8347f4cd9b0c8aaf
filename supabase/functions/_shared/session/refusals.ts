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
};
const FOR_GOOD: readonly ErrorCode[] = [
  "id_conflict",
  "unknown_session",
  "unknown_query",
  "option_not_allowed",
];

/** `action`: what could not be done, such as "take query". */
export function toError({ code, retryAfterMs }: Refusal, action: string): AgentError {
  return new AgentError(code, `Cannot ${action}: ${WORDS[code] ?? "something went wrong on the server"}`, {
    retryable: !FOR_GOOD.includes(code),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  });
}
