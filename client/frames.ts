/**
 * The frames of docs/PROTOCOL.md as types, derived from the server's schemas. The client imports nothing from the
 * server at run time. The npm package contains these types written out.
 */

import type { ErrorCode as Code } from "../supabase/functions/_shared/errors.ts";
import type {
  CommandArgs as Args,
  FeedbackFrame,
  QueryFrame as Query,
} from "../supabase/functions/_shared/protocol/client_frames.ts";
import type {
  DeltaFrame as Delta,
  ErrorFrame as Failure,
  NotificationFrame as Notification,
  ReasoningFrame as Reasoning,
  ResponseFrame as Response,
  ServerFrame as Any,
  ShortFrame as Short,
  StatusFrame as Status,
} from "../supabase/functions/_shared/protocol/server_frames.ts";
import type { Verb as AnyVerb } from "../supabase/functions/_shared/protocol/verbs.ts";

/** Why something was refused or has failed. */
export type ErrorCode = Code;
/** Any frame that the server sends. */
export type ServerFrame = Any;
/** The welcome, a notice, or a message pushed into the session. */
export type NotificationFrame = Notification;
/** The state of a query, or the result of a command. */
export type StatusFrame = Status;
/** A piece of the text of a running turn. */
export type DeltaFrame = Delta;
/** A piece of what the model thinks during a running turn. */
export type ReasoningFrame = Reasoning;
/** A delta or reasoning without the ids of its turn. Callers never get one. */
export type ShortFrame = Short;
/** A complete answer. */
export type ResponseFrame = Response;
/** A refusal or a failure. */
export type ErrorFrame = Failure;
/** A query as it is sent. */
export type QueryFrame = Query;
/** The fields of a query besides its text. */
export type QueryFields = Omit<Query, "type" | "content" | "id">;
/** A person's feedback on a turn. */
export type Feedback = Omit<FeedbackFrame, "type" | "id">;
/** The commands that a caller may send, each with its arguments. The client sends `auth` itself. */
export type Commands = { [V in Exclude<AnyVerb, "auth">]: Args<V> };
