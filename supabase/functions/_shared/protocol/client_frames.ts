/**
 * What a client may send. The schemas are the single source: the types, the checks of {@linkcode decode}, the JSON
 * Schema and the AsyncAPI document all come from them.
 */

import * as z from "zod";
import { PRIORITIES, QUEUE_POLICIES } from "./queueing.ts";
import type { Verb } from "./verbs.ts";

/**
 * A client's key for a frame of its own: scopes to the session, echoed as `in_reply_to`. One with a lone surrogate is
 * refused, not mended: the mended one would be another key.
 */
export const frameId = z.string("must be a string").min(1, "must not be empty").max(
  128,
  "must have at most 128 characters",
).refine((id) => id.isWellFormed(), "must be well-formed Unicode");

/** Free text, lone surrogates replaced by U+FFFD: Postgres and model providers refuse them. */
function text(): z.ZodString {
  return z.string("must be a string").overwrite((value) => value.toWellFormed());
}

/** How the model is asked. What may be chosen is the operator's to say: `ALLOWED_MODELS`, `MAX_TOKENS`. */
export const queryOptions = z.object({
  model: text().min(1, "must not be empty").max(200, "must have at most 200 characters").optional(),
  temperature: z.number("must be a number").min(0, "must be from 0 to 2").max(2, "must be from 0 to 2")
    .optional(),
  max_tokens: z.int("must be a whole number").min(1, "must be 1 or more").max(
    1_000_000,
    "must be at most 1000000",
  ).optional(),
}, "must be an object");

/** A question to the model. On the wire `type` may be left out. */
export const queryFrame = z.object({
  type: z.literal("query"),
  content: text(),
  id: frameId.optional(),
  priority: z.enum(PRIORITIES, "must be high, normal or low").optional(),
  policy: z.enum(QUEUE_POLICIES, "must be queue, reject, interrupt or latest").optional(),
  stream: z.boolean("must be true or false").optional(),
  options: queryOptions.optional(),
});

const none = z.object({}, "must be an object");
const pageSize = z.int("must be a whole number").min(1, "must be from 1 to 200").max(
  200,
  "must be from 1 to 200",
);

/** A name that a client chose, as an error may show it: short, and well-formed. */
export function quoted(name: string): string {
  return `"${name.slice(0, 64).toWellFormed()}"`;
}

/**
 * Arguments of a verb that destroys something. A field that is not known is refused: ignoring a misspelt `id` would
 * destroy something else than was meant.
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
  sessions: z.object({ limit: pageSize.optional(), before: frameId.optional() }, "must be an object"),
  delete: strictArgs({}),
} as const satisfies Record<Verb, z.ZodType>;

export type CommandArgs<V extends Verb> = z.infer<(typeof COMMAND_ARGS)[V]>;

/** A command as it is on the wire; the shape of `args` is the verb's, in {@linkcode COMMAND_ARGS}. */
export const commandFrame = z.object({
  type: z.literal("command"),
  content: z.enum(Object.keys(COMMAND_ARGS) as [Verb, ...Verb[]]),
  id: frameId.optional(),
  args: z.object({}).optional(),
});

/** What a person thinks of a turn. `content` may be left out where a verdict or a rating says it. */
export const feedbackFrame = z.object({
  type: z.literal("human_feedback"),
  content: text().optional(),
  id: frameId.optional(),
  turn_id: frameId.optional(),
  verdict: z.enum(["approve", "reject", "modify"], "must be approve, reject or modify").optional(),
  rating: z.literal([-1, 1], "must be -1 or 1").optional(),
  approval_id: frameId.optional(),
});

export type QueryOptions = z.infer<typeof queryOptions>;
export type QueryFrame = z.infer<typeof queryFrame>;
export type FeedbackFrame = z.infer<typeof feedbackFrame>;
/** A command with its verb and the arguments that belong to it. */
export type CommandFrame = {
  [V in Verb]: { type: "command"; verb: V; id?: string | undefined; args: CommandArgs<V> };
}[Verb];
export type ClientFrame = QueryFrame | CommandFrame | FeedbackFrame;
