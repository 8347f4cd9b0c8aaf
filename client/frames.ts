/**
 * The frames of docs/PROTOCOL.md as types, made from the server's own schemas. Nothing of the server is imported at run
 * time, and in the npm package these types are written out.
 */

import type { ErrorCode as Code } from "../supabase/functions/_shared/errors.ts";
import type {
  CommandArgs as Args,
  FeedbackFrame,
  QueryFrame as Query,
} from "../supabase/functions/_shared/protocol/client_frames.ts";
import type {
  ErrorFrame as Failure,
  NotificationFrame as Notification,
  ResponseFrame as Response,
  ServerFrame as Any,
  StatusFrame as Status,
} from "../supabase/functions/_shared/protocol/server_frames.ts";
import type { Verb as AnyVerb } from "../supabase/functions/_shared/protocol/verbs.ts";

/** Why something was refused or has failed. */
export type ErrorCode = Code;
/** Any frame the server sends. */
export type ServerFrame = Any;
/** The welcome, a notice, or a message pushed into the session. */
export type NotificationFrame = Notification;
/** Where a query stands, or what a command did. */
export type StatusFrame = Status;
/** A whole answer. */
export type ResponseFrame = Response;
/** What was refused or has failed. */
export type ErrorFrame = Failure;
/** A question on the wire. */
export type QueryFrame = Query;
/** What a query may say beside its text. */
export type QueryFields = Omit<Query, "type" | "content" | "id">;
/** What a person thinks of a turn. */
export type Feedback = Omit<FeedbackFrame, "type" | "id">;
/** The commands that a caller may give, each with its arguments. `auth` is the client's own business. */
export type Commands = { [V in Exclude<AnyVerb, "auth">]: Args<V> };
