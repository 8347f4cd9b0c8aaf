/**
 * From a `send` of the AI SDK to decisions about tool calls, and results of tools that the page has run: the page sends them as states of
 * the parts of the last message, the one of the answer.
 */

import { AgentError } from "../errors.ts";
import type { FeedbackFrame, ToolResultFrame } from "../protocol/client_frames.ts";
import { decode } from "../protocol/decode.ts";
import type { GivenCalls } from "./chunk_stream.ts";
import { sizeOf, tooLarge } from "../session/frame_size.ts";
import { isRecord, type SendRequest } from "./requests.ts";
import { GIVEN, type Given } from "./tool_steps.ts";

/** A decision or a result, as a client of the protocol sends it. */
export type ReplyFrame =
  | (FeedbackFrame & { approval_id: string; id: string })
  | ToolResultFrame & { id: string };

export interface Reply {
  turnId: string;
  /** What the page has. */
  given: GivenCalls;
  /** What the page says about each call, by its id: the fields of a frame, not checked yet. Only calls that wait need it. */
  fields: ReadonlyMap<string, ReplyFields>;
}

export type ReplyFields = Readonly<Record<string, unknown>> & { type: "human_feedback" | "tool_result" };

const ANSWER = /^answer-(.+)$/;
/** What a page has of a call whose part is in this state. */
const STATES: ReadonlyMap<unknown, Given> = new Map([
  ["input-available", GIVEN.call],
  ["approval-requested", GIVEN.request],
  // Which decision counts, the answer says.
  ["approval-responded", GIVEN.request],
  ["output-available", GIVEN.result],
  ["output-error", GIVEN.result],
  ["output-denied", GIVEN.result],
]);

/**
 * Undefined if the request says nothing about tool calls. `body.inputs` may have the edited inputs of approved calls, by their ids.
 */
export function replyOf({ trigger, messages, body }: SendRequest): Reply | undefined {
  const message = messages.at(-1);
  if (trigger !== "submit-message" || !isRecord(message) || message.role !== "assistant") return undefined;
  const { id, parts } = message;
  const [, turnId] = ANSWER.exec(typeof id === "string" ? id : "") ?? [];
  if (turnId === undefined || !Array.isArray(parts)) return undefined;
  const given = new Map<string, Given>();
  const fields = new Map<string, ReplyFields>();
  const inputs = isRecord(body.inputs) ? body.inputs : {};
  for (const part of parts) {
    if (!isRecord(part) || typeof part.toolCallId !== "string") continue;
    const { toolCallId, state } = part;
    given.set(toolCallId, STATES.get(state) ?? GIVEN.nothing);
    const said = fieldsOf(part, inputs);
    if (said !== undefined) fields.set(toolCallId, said);
  }
  return fields.size === 0 ? undefined : { turnId, given, fields };
}

/** The frame with this id, checked as if a client had sent it. It has at most `maxBytes`. Throws an {@linkcode AgentError}. */
export function frameOf(fields: ReplyFields, id: string, maxBytes: number): ReplyFrame {
  const text = JSON.stringify({ ...fields, id });
  const decoded = sizeOf(text, maxBytes) > maxBytes ? tooLarge(maxBytes) : decode(text);
  if ("problem" in decoded) throw new AgentError(decoded.problem.code, decoded.problem.message);
  const { frame } = decoded;
  if (frame.type === "tool_result") return { ...frame, id };
  if (frame.type === "human_feedback" && frame.approval_id !== undefined) {
    return { ...frame, id, approval_id: frame.approval_id };
  }
  throw new TypeError("Cannot decode reply: it is none");
}

/** What the part says to the server; undefined if it says nothing. */
function fieldsOf(
  { toolCallId, state, approval, output, errorText }: Record<string, unknown> & { toolCallId?: unknown },
  inputs: Readonly<Record<string, unknown>>,
): ReplyFields | undefined {
  const id = String(toolCallId);
  if (state === "approval-responded" && isRecord(approval)) {
    const about = { type: "human_feedback", approval_id: id } as const;
    const content = typeof approval.reason === "string" ? { content: approval.reason } : {};
    if (approval.approved !== true) return { ...about, ...content, verdict: "reject" };
    return Object.hasOwn(inputs, id)
      ? { ...about, ...content, verdict: "modify", input: inputs[id] }
      : { ...about, ...content, verdict: "approve" };
  }
  if (state === "output-available") return { type: "tool_result", call_id: id, output: output ?? null };
  if (state === "output-error") {
    return { type: "tool_result", call_id: id, error: String(errorText || "failed") };
  }
  return undefined;
}
