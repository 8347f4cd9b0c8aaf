/** As `protocol/decode.ts`, by the zod schemas that the documents and the types are made of. */

import type * as z from "zod";
import type { Decoded, FrameProblem } from "../../supabase/functions/_shared/protocol/decode.ts";
import type { ErrorCode } from "../../supabase/functions/_shared/errors.ts";
import {
  COMMAND_ARGS,
  type CommandFrame,
  feedbackFrame,
  frameId,
  queryFrame,
  toolResultFrame,
} from "../../supabase/functions/_shared/protocol/client_frames.ts";
import { quoted } from "../../supabase/functions/_shared/protocol/quoted.ts";
import { isDestructive, type Verb, VERBS } from "../../supabase/functions/_shared/protocol/verbs.ts";

/** Types that only the server sends. */
const SERVER_TYPES = new Set([
  "response",
  "notification",
  "status",
  "error",
  "delta",
  "reasoning",
  "tool_call",
  "approval_requested",
  "approval_decided",
  "tool_started",
  "heartbeat",
]);
const VERB_LIST = Object.keys(VERBS).join(", ");

/** Decodes JSON, as text or as UTF-8 bytes, into a frame. The caller has checked the size. */
export function decodeByZod(data: string | ArrayBuffer): Decoded {
  let text: string;
  if (typeof data === "string") {
    text = data;
  } else {
    try {
      text = new TextDecoder("utf-8", { fatal: true }).decode(data);
    } catch {
      return refuse("invalid_encoding", "Cannot decode frame: a binary frame must hold UTF-8 JSON text");
    }
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return refuse("invalid_json", "Cannot decode frame: it is not JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return refuse("invalid_frame", `Cannot decode frame: expected a JSON object, got ${nameOf(value)}`);
  }
  return decodeObject(value as Record<string, unknown>);
}

function decodeObject(value: Record<string, unknown>): Decoded {
  const id = value.id === undefined ? undefined : frameId.safeParse(value.id).data;
  const type = value.type ?? "query";
  switch (type) {
    case "query":
      return decodeQuery(value, id);
    case "command":
      return decodeCommand(value, id);
    case "human_feedback":
      return decodeFeedback(value, id);
    case "tool_result":
      return decodeToolResult(value, id);
  }
  if (typeof type !== "string") {
    return refuse("invalid_frame", `Cannot decode frame: "type" must be a string, got ${nameOf(type)}`, id);
  }
  if (SERVER_TYPES.has(type)) {
    return refuse("forbidden_type", `Cannot accept frame: only the server sends "${type}"`, id);
  }
  const words = 'Cannot accept frame: "type" must be query, command, human_feedback or tool_result';
  return refuse("unknown_type", words, id);
}

function decodeQuery(value: Record<string, unknown>, id: string | undefined): Decoded {
  const content = requireContent(value, id);
  if ("problem" in content) return content;
  const parsed = queryFrame.safeParse({ ...value, type: "query" });
  if (!parsed.success) return refuseShape("query", parsed.error, id);
  return { frame: parsed.data };
}

function decodeCommand(value: Record<string, unknown>, id: string | undefined): Decoded {
  const content = requireContent(value, id);
  if ("problem" in content) return content;
  const verb = content.text.trim();
  if (!isVerb(verb)) {
    return refuse("unknown_command", `Cannot run command: "content" must be one of ${VERB_LIST}`, id);
  }
  const idCheck = frameId.optional().safeParse(value.id);
  if (!idCheck.success) {
    return refuse("invalid_frame", `Cannot accept command: "id" ${firstIssue(idCheck.error).message}`, id);
  }
  const misplaced = isDestructive(verb) ? Object.keys(value).find(isMisplaced) : undefined;
  if (misplaced !== undefined) {
    return refuse("invalid_args", `Cannot run ${verb}: ${quoted(misplaced)} must not be beside "args"`, id);
  }
  const parsed = COMMAND_ARGS[verb].safeParse(value.args ?? {});
  if (!parsed.success) {
    const { path, message } = firstIssue(parsed.error);
    return refuse("invalid_args", `Cannot run ${verb}: "${["args", ...path].join(".")}" ${message}`, id);
  }
  // The schema belongs to the verb, but TypeScript does not infer this through the index.
  return { frame: { type: "command", verb, id, args: parsed.data } as CommandFrame };
}

function decodeFeedback(value: Record<string, unknown>, id: string | undefined): Decoded {
  const parsed = feedbackFrame.safeParse({ ...value, content: value.content ?? undefined });
  if (!parsed.success) return refuseShape("human_feedback", parsed.error, id);
  const { content = "", verdict, rating, approval_id: approvalId } = parsed.data;
  // A decision needs no words.
  if (approvalId !== undefined && verdict !== undefined) return { frame: { ...parsed.data, content } };
  const saysNothing = content.trim() === "" && verdict === undefined && rating === undefined;
  if (saysNothing || (verdict === "modify" && content.trim() === "")) {
    return refuse("content_required", "Message content is required", id);
  }
  return { frame: { ...parsed.data, content } };
}

function decodeToolResult(value: Record<string, unknown>, id: string | undefined): Decoded {
  const parsed = toolResultFrame.safeParse(value);
  return parsed.success ? { frame: parsed.data } : refuseShape("tool_result", parsed.error, id);
}

/** Missing content gets the text of the original handler. Content of another type gets an error that says what was expected. */
function requireContent(
  value: Record<string, unknown>,
  id: string | undefined,
): { text: string } | { problem: FrameProblem } {
  const { content } = value;
  if (content === undefined || content === null || (typeof content === "string" && content.trim() === "")) {
    return refuse("content_required", "Message content is required", id);
  }
  if (typeof content !== "string") {
    return refuse(
      "invalid_frame",
      `Cannot accept frame: "content" must be a string, got ${nameOf(content)}`,
      id,
    );
  }
  return { text: content };
}

function refuseShape(what: string, error: z.ZodError, id: string | undefined): { problem: FrameProblem } {
  const { path, message } = firstIssue(error);
  return refuse("invalid_frame", `Cannot accept ${what}: "${path.join(".")}" ${message}`, id);
}

function firstIssue(error: z.ZodError): { path: readonly PropertyKey[]; message: string } {
  return error.issues[0] ?? { path: [], message: "has the wrong shape" };
}

function refuse(code: ErrorCode, message: string, id?: string): { problem: FrameProblem } {
  return { problem: id === undefined ? { code, message } : { code, message, inReplyTo: id } };
}

/** Whether a field beside `args` looks like a target, which belongs into `args`. The command's own `id` does not. */
function isMisplaced(name: string): boolean {
  return name === "all" || name !== "id" && /id$/i.test(name);
}

function isVerb(text: string): text is Verb {
  return Object.hasOwn(VERBS, text);
}

function nameOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}
