/**
 * Frames that a client may send. The schemas are the source of the types, the JSON Schema and the AsyncAPI document. A worker checks
 * frames by `frame_checks.ts`, which says the same without zod; a test compares the two.
 */

import * as z from "zod";
import { PRIORITIES, QUEUE_POLICIES } from "./queueing.ts";
import { quoted } from "./quoted.ts";
import { REASONING_EFFORTS } from "./reasoning_effort.ts";
import { TOO_DEEP, wellFormedJson } from "./json_value.ts";
import type { Verb } from "./verbs.ts";

/**
 * A client's idempotency key for a frame, unique in the session and echoed as `in_reply_to`. An id with a lone surrogate is refused:
 * replacing the surrogate would make it another key.
 */
export const frameId = z.string("must be a string").min(1, "must not be empty").max(
  128,
  "must have at most 128 characters",
).refine((id) => id.isWellFormed(), "must be well-formed Unicode");

/** Free text. Lone surrogates are replaced by U+FFFD, because Postgres and model providers refuse them. */
function text(): z.ZodString {
  return z.string("must be a string").overwrite((value) => value.toWellFormed());
}

/** Options of the model request. `ALLOWED_MODELS` and `MAX_TOKENS` restrict them. */
export const queryOptions = z.object({
  model: text().min(1, "must not be empty").max(200, "must have at most 200 characters").optional(),
  temperature: z.number("must be a number").min(0, "must be from 0 to 2").max(2, "must be from 0 to 2")
    .optional(),
  max_tokens: z.int("must be a whole number").min(1, "must be 1 or more").max(
    1_000_000,
    "must be at most 1000000",
  ).optional(),
  reasoning: z.object({
    effort: z.enum(REASONING_EFFORTS, "must be none, minimal, low, medium, high or xhigh"),
  }, "must be an object").optional(),
}, "must be an object");

/** A question to the model. On the wire `type` may be omitted. */
export const queryFrame = z.object({
  type: z.literal("query"),
  content: text(),
  id: frameId.optional(),
  priority: z.enum(PRIORITIES, "must be high, normal or low").optional(),
  policy: z.enum(QUEUE_POLICIES, "must be queue, reject, interrupt or latest").optional(),
  stream: z.boolean("must be true or false").optional(),
  options: queryOptions.optional(),
  replaces: frameId.optional().describe(
    "The id of an earlier query: the conversation continues from before that query",
  ),
});

const none = z.object({}, "must be an object");
const pageSize = z.int("must be a whole number").min(1, "must be from 1 to 200").max(
  200,
  "must be from 1 to 200",
);

/**
 * Arguments of a verb with a target. An unknown field is refused, because ignoring a misspelt `id` would change or destroy something
 * other than intended.
 */
function strictArgs<Shape extends z.ZodRawShape>(shape: Shape): z.ZodObject<Shape, z.core.$strict> {
  const known = Object.keys(shape).map(quoted).join(", ") || "none";
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === "unrecognized_keys"
        ? `must not have ${quoted(issue.keys[0] ?? "")}, known: ${known}`
        : "must be an object",
  });
}

/** The shape of the `args` of each verb. */
export const COMMAND_ARGS = {
  help: none,
  ping: none,
  auth: z.object({ token: text().min(1, "must not be empty") }, "must be an object"),
  status: none,
  history: z.object({
    limit: pageSize.optional(),
    before_seq: z.int("must be a whole number").min(1, "must be 1 or more").optional(),
  }, "must be an object"),
  clear: strictArgs({}),
  cancel: strictArgs({
    id: frameId.optional(),
    all: z.boolean("must be true or false").optional(),
  }).refine(({ id, all }) => id === undefined || all !== true, 'must have "id" or "all", not both'),
  configure: z.object(
    { ...queryOptions.shape, stream: z.boolean("must be true or false").optional() },
    "must be an object",
  ),
  sessions: z.object({
    limit: pageSize.optional(),
    before: frameId.optional(),
    search: text().min(1, "must not be empty").max(200, "must have at most 200 characters").optional(),
    archived: z.boolean("must be true or false").optional(),
  }, "must be an object"),
  rename: strictArgs({
    title: text().max(200, "must have at most 200 characters")
      .refine((title) => /[^\s\0]/.test(title), "must not be empty"),
    session_id: frameId.optional(),
  }),
  archive: strictArgs({
    archived: z.boolean("must be true or false").optional(),
    session_id: frameId.optional(),
  }),
  delete: strictArgs({ session_id: frameId.optional() }),
} as const satisfies Record<Verb, z.ZodType>;

export type CommandArgs<V extends Verb> = z.infer<(typeof COMMAND_ARGS)[V]>;

/** A command on the wire. {@linkcode COMMAND_ARGS} has the shape of `args` for each verb. */
export const commandFrame = z.object({
  type: z.literal("command"),
  content: z.enum(Object.keys(COMMAND_ARGS) as [Verb, ...Verb[]]),
  id: frameId.optional(),
  args: z.object({}).optional(),
});

const callId = z.string("must be a string").min(1, "must not be empty").max(
  300,
  "must have at most 300 characters",
).refine((id) => id.isWellFormed(), "must be well-formed Unicode");
/** Any JSON value. */
const jsonValue = z.unknown().overwrite((value) => wellFormedJson(value)).refine(
  (value) => value !== TOO_DEEP,
  "must not be nested more than 100 levels deep",
);

/** A person's feedback on a turn. `content` may be omitted if there is a verdict or a rating. */
export const feedbackFrame = z.object({
  type: z.literal("human_feedback"),
  content: text().optional(),
  id: frameId.optional(),
  turn_id: frameId.optional(),
  verdict: z.enum(["approve", "reject", "modify"], "must be approve, reject or modify").optional(),
  rating: z.literal([-1, 1], "must be -1 or 1").optional(),
  approval_id: callId.optional().describe("Decides about a tool call that waits for it"),
  input: jsonValue.optional().describe("With modify: the edited input of the tool"),
});

/** What a decision about a tool call has, over HTTP. */
export const decisionFields = {
  approval_id: callId,
  verdict: z.enum(["approve", "reject", "modify"], "must be approve, reject or modify"),
  content: text().optional(),
  input: jsonValue.optional(),
  id: frameId.optional(),
};

/** The result of a tool that the client has run. */
export const toolResultFrame = z.object({
  type: z.literal("tool_result"),
  call_id: callId,
  output: jsonValue.optional().describe("Any JSON value"),
  error: text().min(1, "must not be empty").optional().describe("Instead of output: what went wrong"),
  id: frameId.optional(),
});

export type QueryOptions = z.infer<typeof queryOptions>;
export type QueryFrame = z.infer<typeof queryFrame>;
export type FeedbackFrame = z.infer<typeof feedbackFrame>;
/** A decoded command: its verb and the arguments of that verb. */
export type CommandFrame = {
  [V in Verb]: { type: "command"; verb: V; id?: string | undefined; args: CommandArgs<V> };
}[Verb];
export type ToolResultFrame = z.infer<typeof toolResultFrame>;
export type ClientFrame = QueryFrame | CommandFrame | FeedbackFrame | ToolResultFrame;
