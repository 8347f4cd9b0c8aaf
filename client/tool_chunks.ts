/** Tool calls in the AI SDK's format: chunks of one call, and what a page sends back in the parts of a message. */

import type { UIMessage, UIMessageChunk } from "ai";
import type { AgentClient } from "./client.ts";
import { isFinal, type ToolCall } from "./tool_calls.ts";
import type { ToolAnswer, ToolClient } from "./tool_client.ts";
import { toolPart } from "./tool_messages.ts";

/** How much of a call a page has. */
export const GIVEN = { nothing: 0, call: 1, request: 2, decision: 3, result: 4 } as const;
export type Given = (typeof GIVEN)[keyof typeof GIVEN];

/** By the id of the call. */
export type GivenCalls = ReadonlyMap<string, Given>;

/** What a page says about a call that waits. */
export type CallReply = { approved: boolean; reason?: string | undefined; input?: unknown } | {
  answer: ToolAnswer;
};

/** What a page sends back instead of a question. */
export interface Reply {
  turnId: string;
  given: GivenCalls;
  calls: ReadonlyMap<string, CallReply>;
}

/** The client, if it is one for agents with tools. Only a type is imported, so that a page without tools does not load them. */
export function toolsOf(client: AgentClient): ToolClient | undefined {
  return "callsOf" in client ? client as ToolClient : undefined;
}

/** How much of the call is known. */
export function givenOf(call: ToolCall): Given {
  if (isFinal(call)) return GIVEN.result;
  if (call.decision !== undefined) return GIVEN.decision;
  return call.state === "approval" ? GIVEN.request : GIVEN.call;
}

/** Whether nothing follows before somebody decides about one of the calls, or answers it. `isDue`: that is on its way. */
export function isWaiting(
  calls: readonly ToolCall[],
  client: ToolClient | undefined,
  isDue: (callId: string) => boolean = () => false,
): boolean {
  const open = calls.filter((call) => !isFinal(call));
  return open.length > 0 &&
    open.every(({ callId, state }) =>
      (state === "approval" || (state === "client" && client?.isRunning(callId) !== true)) && !isDue(callId)
    );
}

/** The chunks of a call that a page lacks. */
export function* chunksOf(call: ToolCall, given: Given): Generator<UIMessageChunk> {
  const { callId: toolCallId, name: toolName, input, decision } = call;
  const available = { type: "tool-input-available", toolCallId, toolName, input, dynamic: true } as const;
  const part = toolPart(call);
  if (given < GIVEN.call) yield available;
  const isRequested = decision !== undefined || call.state === "approval";
  if (given < GIVEN.request && isRequested) {
    yield { type: "tool-approval-request", approvalId: toolCallId, toolCallId };
  }
  if (given < GIVEN.decision && decision !== undefined) {
    const { verdict, comment: reason } = decision;
    if (verdict === "modify" && given >= GIVEN.call) yield available;
    const approved = verdict === "approve" || verdict === "modify";
    const response = { type: "tool-approval-response", approvalId: toolCallId, approved } as const;
    yield reason === undefined ? response : { ...response, reason };
  }
  if (given >= GIVEN.result) return;
  if (part.state === "output-denied") yield { type: "tool-output-denied", toolCallId };
  if (part.state === "output-error") {
    yield { type: "tool-output-error", toolCallId, errorText: part.errorText, dynamic: true };
  }
  if (part.state === "output-available") {
    yield { type: "tool-output-available", toolCallId, output: part.output, dynamic: true };
  }
}

const ANSWER = /^answer-(.+)$/;
/** What a page has of a call whose part is in this state. Which decision counts, the answer says. */
const STATES: Readonly<Record<string, Given>> = {
  "input-available": GIVEN.call,
  "approval-requested": GIVEN.request,
  "approval-responded": GIVEN.request,
  "output-available": GIVEN.result,
  "output-error": GIVEN.result,
  "output-denied": GIVEN.result,
};

/** What the last message says about tool calls, if it is an answer. `inputs` are edited inputs of approved calls, by their ids. */
export function replyOf(
  message: UIMessage | undefined,
  inputs: Readonly<Record<string, unknown>>,
): Reply | undefined {
  const [, turnId] = ANSWER.exec(message?.id ?? "") ?? [];
  if (message?.role !== "assistant" || turnId === undefined) return undefined;
  const given = new Map<string, Given>();
  const calls = new Map<string, CallReply>();
  for (const part of message.parts) {
    if (part.type !== "dynamic-tool") continue;
    const { toolCallId: id, state } = part;
    given.set(id, STATES[state] ?? GIVEN.nothing);
    if (state === "approval-responded") {
      const { approved, reason } = part.approval;
      calls.set(id, { approved, reason, ...(Object.hasOwn(inputs, id) && { input: inputs[id] }) });
    } else if (state === "output-available") calls.set(id, { answer: { output: part.output } });
    else if (state === "output-error") calls.set(id, { answer: { error: part.errorText } });
  }
  return calls.size === 0 ? undefined : { turnId, given, calls };
}
