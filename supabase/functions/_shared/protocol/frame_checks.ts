/** The checks of the frames that a client may send: what the schemas of `client_frames.ts` say, without zod. */

import { type Check, fields, flag, json, key, number, oneOf, refined, text, whole } from "./checks.ts";
import { PRIORITIES, QUEUE_POLICIES } from "./queueing.ts";
import { quoted } from "./quoted.ts";
import { REASONING_EFFORTS } from "./reasoning_effort.ts";
import type { Verb } from "./verbs.ts";

/** As `frameId` in client_frames.ts. */
export const checkFrameId: Check = key(128);
const callId = key(300);
const pageSize = whole({ min: 1, max: 200, tooSmall: "must be from 1 to 200" });
const options = {
  model: text({ min: 1, max: 200 }),
  temperature: number(0, 2),
  max_tokens: whole({
    min: 1,
    max: 1_000_000,
    tooSmall: "must be 1 or more",
    tooLarge: "must be at most 1000000",
  }),
  reasoning: fields({
    effort: oneOf(REASONING_EFFORTS, "none, minimal, low, medium, high or xhigh"),
  }, { required: ["effort"] }),
};
const verdict = oneOf(["approve", "reject", "modify"], "approve, reject or modify");

/** As `queryFrame`. */
export const checkQuery = fields({
  type: oneOf(["query"], "query"),
  content: text(),
  id: checkFrameId,
  priority: oneOf(PRIORITIES, "high, normal or low"),
  policy: oneOf(QUEUE_POLICIES, "queue, reject, interrupt or latest"),
  stream: flag,
  options: fields(options),
  replaces: checkFrameId,
});

/** As `feedbackFrame`. */
export const checkFeedback = fields({
  type: oneOf(["human_feedback"], "human_feedback"),
  content: text(),
  id: checkFrameId,
  turn_id: checkFrameId,
  verdict,
  rating: oneOf([-1, 1], "-1 or 1"),
  approval_id: callId,
  input: json,
});

/** As `toolResultFrame`. */
export const checkToolResult = fields({
  type: oneOf(["tool_result"], "tool_result"),
  call_id: callId,
  output: json,
  error: text({ min: 1 }),
  id: checkFrameId,
}, { required: ["call_id"] });

const none = fields({});

/** An unknown argument of a verb with a target is refused: a misspelt `id` would change something other than intended. */
function strict(checks: Readonly<Record<string, Check>>, required: readonly string[] = []): Check {
  const known = Object.keys(checks).map(quoted).join(", ") || "none";
  return fields(checks, { required, unknown: (name) => `must not have ${quoted(name)}, known: ${known}` });
}

/** Of the `args` of each verb. */
export const ARGS_CHECKS: Readonly<Record<Verb, Check>> = {
  help: none,
  ping: none,
  auth: fields({ token: text({ min: 1 }) }, { required: ["token"] }),
  status: none,
  history: fields({ limit: pageSize, before_seq: whole({ min: 1, tooSmall: "must be 1 or more" }) }),
  clear: strict({}),
  cancel: refined(
    strict({ id: checkFrameId, all: flag }),
    ({ id, all }: { id?: string; all?: boolean }) => id === undefined || all !== true,
    'must have "id" or "all", not both',
  ),
  configure: fields({ ...options, stream: flag }),
  sessions: fields({
    limit: pageSize,
    before: checkFrameId,
    search: text({ min: 1, max: 200 }),
    archived: flag,
  }),
  rename: strict({
    title: refined(text({ max: 200 }), (title: string) => /[^\s\0]/.test(title), "must not be empty"),
    session_id: checkFrameId,
  }, ["title"]),
  archive: strict({ archived: flag, session_id: checkFrameId }),
  delete: strict({ session_id: checkFrameId }),
};
