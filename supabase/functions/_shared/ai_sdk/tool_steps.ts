/** The tool calls of one answer so far, and the chunks that show them. */

import type { ToolFrame } from "../protocol/server_frames.ts";
import type { Thread } from "../session/core/thread.ts";

/** A tool call, as the page is shown it. */
export interface CallSoFar {
  readonly callId: string;
  readonly name: string;
  input: unknown;
  readonly needs: "nothing" | "approval" | "client";
  isRequested: boolean;
  decision: { approved: boolean; isChanged: boolean; reason: string | undefined } | undefined;
  result: { isError: boolean; output: string } | undefined;
}

/** The text of one model call, and the calls at its end. */
export interface StepSoFar {
  /** 1, 2, 3 … within the turn. */
  readonly number: number;
  readonly text: string;
  readonly calls: CallSoFar[];
}

/** How much of a call a page has been given. */
export const GIVEN = { nothing: 0, call: 1, request: 2, decision: 3, result: 4 } as const;
export type Given = (typeof GIVEN)[keyof typeof GIVEN];

export type Chunk = Readonly<Record<string, unknown>>;

/** What a frame has changed. */
export interface ToolChange {
  call: CallSoFar;
  /** What was known of the call before. */
  before: Given;
  isFirstOfStep: boolean;
}

const ENDED = "The turn ended before the call ran";

export class ToolSteps {
  readonly steps: StepSoFar[] = [];
  /** About how many UTF-16 units the calls have. */
  chars = 0;

  /** The steps of an open turn. */
  static of(thread: Thread): ToolSteps {
    const known = new ToolSteps();
    for (const [index, { content, calls }] of thread.entries()) {
      known.steps.push({
        number: index + 1,
        text: content,
        calls: calls.map(({ callId, name, input, needs, decision, result }) => ({
          callId,
          name,
          input: decision?.verdict === "modify" ? decision.input : input,
          needs,
          isRequested: needs === "approval",
          decision: decision && decisionOf(decision),
          result: result && { isError: result.outcome !== "ok", output: result.output },
        })),
      });
    }
    for (const { input, result } of known.calls) known.#count(input, result?.output);
    return known;
  }

  /** The text of the answer up to the end of the last step. */
  get text(): string {
    return this.steps.map(({ text }) => text).join("");
  }

  get calls(): CallSoFar[] {
    return this.steps.flatMap(({ calls }) => calls);
  }

  /** Whether a call with this number of a step begins one. */
  isNew(step: number): boolean {
    return step > (this.steps.at(-1)?.number ?? 0);
  }

  /** Whether nothing happens before somebody decides about a call, or answers it. `isDue`: a decision or an answer is on its way. */
  isWaiting(isDue: (callId: string) => boolean): boolean {
    const open = this.steps.at(-1)?.calls.filter((call) => givenOf(call) < GIVEN.result) ?? [];
    return open.length > 0 && open.every((call) => waits(call) && !isDue(call.callId));
  }

  /** Returns undefined if the frame is no news. */
  take(frame: ToolFrame): ToolChange | undefined {
    if (frame.type === "tool_call") return this.#add(frame);
    const call = this.calls.find(({ callId }) => callId === frame.call_id);
    if (call === undefined) return undefined;
    const before = givenOf(call);
    if (frame.type === "approval_requested") call.isRequested = true;
    else if (frame.type === "approval_decided") {
      call.decision ??= decisionOf(frame);
      if (frame.verdict === "modify") call.input = frame.input;
    } else if (frame.type === "tool_result") {
      call.result ??= { isError: frame.outcome !== "ok", output: frame.output };
      this.#count(undefined, frame.output);
    }
    return givenOf(call) > before ? { call, before, isFirstOfStep: false } : undefined;
  }

  #add(
    { call_id: callId, step, name, input, needs, text = "" }: ToolFrame & { type: "tool_call" },
  ): ToolChange | undefined {
    if (this.calls.some((known) => known.callId === callId)) return undefined;
    const call = { callId, name, input, needs, isRequested: false, decision: undefined, result: undefined };
    const last = this.steps.at(-1);
    const isFirstOfStep = last === undefined || this.isNew(step);
    if (isFirstOfStep) this.steps.push({ number: step, text, calls: [call] });
    else last.calls.push(call);
    this.#count(input);
    return { call, before: GIVEN.nothing, isFirstOfStep };
  }

  #count(input: unknown, output = ""): void {
    this.chars += (JSON.stringify(input)?.length ?? 0) + output.length;
  }
}

/** The chunks of a call that a page lacks. */
export function chunksOf(call: CallSoFar, given: Given = GIVEN.nothing): Chunk[] {
  const { callId: toolCallId, name: toolName, input, isRequested, decision, result } = call;
  const chunks: Chunk[] = [];
  const available = { type: "tool-input-available", toolCallId, toolName, input, dynamic: true };
  if (given < GIVEN.call) chunks.push(available);
  if (given < GIVEN.request && isRequested) {
    chunks.push({ type: "tool-approval-request", approvalId: toolCallId, toolCallId });
  }
  if (given < GIVEN.decision && decision !== undefined) {
    const { approved, isChanged, reason } = decision;
    if (isChanged && given >= GIVEN.call) chunks.push(available);
    chunks.push({
      type: "tool-approval-response",
      approvalId: toolCallId,
      approved,
      ...(reason !== undefined && { reason }),
    });
    if (!approved) chunks.push({ type: "tool-output-denied", toolCallId });
  }
  if (given < GIVEN.result && result !== undefined) {
    chunks.push(
      result.isError
        ? { type: "tool-output-error", toolCallId, errorText: result.output, dynamic: true }
        : { type: "tool-output-available", toolCallId, output: outputOf(result.output), dynamic: true },
    );
  }
  return chunks;
}

/** The chunk of a call that is still open when its turn ends. */
export function endedChunk({ callId: toolCallId }: CallSoFar): Chunk {
  return { type: "tool-output-error", toolCallId, errorText: ENDED, dynamic: true };
}

/** How much of the call is known. */
export function givenOf({ isRequested, decision, result }: CallSoFar): Given {
  if (result !== undefined || decision?.approved === false) return GIVEN.result;
  if (decision !== undefined) return GIVEN.decision;
  return isRequested ? GIVEN.request : GIVEN.call;
}

/** The text of a step without the empty line before it: it is a part of its own. */
export function paragraph(text: string): string {
  return text.replace(/^\n+/, "");
}

function waits({ needs, decision }: CallSoFar): boolean {
  return needs === "client" || (needs === "approval" && decision === undefined);
}

function decisionOf(
  { verdict, comment }: { verdict: string; comment?: string | undefined },
): NonNullable<CallSoFar["decision"]> {
  const approved = verdict === "approve" || verdict === "modify";
  return { approved, isChanged: verdict === "modify", reason: comment };
}

/** An output that is a JSON object, list or string, as a value; any other as the text that it is. */
function outputOf(output: string): unknown {
  if (!/^\s*[[{"]/.test(output)) return output;
  try {
    return JSON.parse(output);
  } catch {
    return output;
  }
}
