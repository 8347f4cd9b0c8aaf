/** Decodes a message from the socket into a frame, or into the problem with it. Never throws. */

import type { ErrorCode } from "../errors.ts";
import type { Wrong } from "./checks.ts";
import type { ClientFrame, CommandFrame, FeedbackFrame } from "./client_frames.ts";
import { ARGS_CHECKS, checkFeedback, checkFrameId, checkQuery, checkToolResult } from "./frame_checks.ts";
import { quoted } from "./quoted.ts";
import { isDestructive, type Verb, VERBS } from "./verbs.ts";

/** Why a frame was refused: the fields of the `error` frame that answers it. */
export interface FrameProblem {
  code: ErrorCode;
  message: string;
  /** The id of the refused frame, if it has a valid one. */
  inReplyTo?: string;
}

export type Decoded = { frame: ClientFrame } | { problem: FrameProblem };

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

/** The type of {@linkcode decode}, for callers that load it on demand. */
export type Decode = typeof decode;

/** Decodes JSON, as text or as UTF-8 bytes, into a frame. The caller has checked the size. */
export function decode(data: string | ArrayBuffer): Decoded {
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
  const id = "value" in checkFrameId(value.id) ? String(value.id) : undefined;
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
  const checked = checkQuery({ ...value, type: "query" });
  if (!("value" in checked)) return refuseShape("query", checked, id);
  return { frame: checked.value as ClientFrame };
}

function decodeCommand(value: Record<string, unknown>, id: string | undefined): Decoded {
  const content = requireContent(value, id);
  if ("problem" in content) return content;
  const verb = content.text.trim();
  if (!isVerb(verb)) {
    return refuse("unknown_command", `Cannot run command: "content" must be one of ${VERB_LIST}`, id);
  }
  const checkedId = value.id === undefined ? undefined : checkFrameId(value.id);
  if (checkedId !== undefined && !("value" in checkedId)) {
    return refuse("invalid_frame", `Cannot accept command: "id" ${checkedId.expected}`, id);
  }
  const misplaced = isDestructive(verb) ? Object.keys(value).find(isMisplaced) : undefined;
  if (misplaced !== undefined) {
    return refuse("invalid_args", `Cannot run ${verb}: ${quoted(misplaced)} must not be beside "args"`, id);
  }
  const checked = ARGS_CHECKS[verb](value.args ?? {});
  if (!("value" in checked)) {
    const { path, expected } = checked;
    return refuse("invalid_args", `Cannot run ${verb}: "${["args", ...path].join(".")}" ${expected}`, id);
  }
  return { frame: { type: "command", verb, id, args: checked.value } as CommandFrame };
}

function decodeFeedback(value: Record<string, unknown>, id: string | undefined): Decoded {
  const { content: said, ...others } = value;
  const checked = checkFeedback(said === null ? others : value);
  if (!("value" in checked)) return refuseShape("human_feedback", checked, id);
  const feedback = checked.value as FeedbackFrame;
  const { content = "", verdict, rating, approval_id: approvalId } = feedback;
  // A decision needs no words.
  if (approvalId !== undefined && verdict !== undefined) return { frame: { ...feedback, content } };
  const saysNothing = content.trim() === "" && verdict === undefined && rating === undefined;
  if (saysNothing || (verdict === "modify" && content.trim() === "")) {
    return refuse("content_required", "Message content is required", id);
  }
  return { frame: { ...feedback, content } };
}

function decodeToolResult(value: Record<string, unknown>, id: string | undefined): Decoded {
  const checked = checkToolResult(value);
  return "value" in checked
    ? { frame: checked.value as ClientFrame }
    : refuseShape("tool_result", checked, id);
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

function refuseShape(
  what: string,
  { path, expected }: Wrong,
  id: string | undefined,
): { problem: FrameProblem } {
  return refuse("invalid_frame", `Cannot accept ${what}: "${path.join(".")}" ${expected}`, id);
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
