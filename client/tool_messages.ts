/** Messages of the AI SDK with the tool calls of their answers. */

import { type ToolCall, ToolCalls, type ToolTurn } from "./tool_calls.ts";
import { storedChangeOf } from "./tool_changes.ts";
import {
  type AgentEventRow,
  type AgentToolPart,
  type AgentUIMessage,
  type AgentUIPart,
  eventsOf,
  toUIMessages as withoutTools,
} from "./ui_messages.ts";

/** Why a call without a result ended with its turn. */
const ENDED = "The turn ended before the call ran";

/**
 * As `toUIMessages` of `agent-websocket-client`, with the tool calls as parts: `dynamic-tool`, after the text of their step. Each later
 * step begins with a part `step-start`.
 */
export function toUIMessages(rows: readonly AgentEventRow[]): AgentUIMessage[] {
  const calls = new ToolCalls();
  for (const event of eventsOf(rows)) {
    const change = storedChangeOf(event);
    if (change !== undefined) calls.take(change);
  }
  return new ToolMessages().of(withoutTools(rows), calls.turns);
}

/** Puts tool calls into messages. What does not change is the same object each time. */
export class ToolMessages {
  readonly #made = new WeakMap<ToolTurn, { from: AgentUIMessage | undefined; message: AgentUIMessage }>();
  #list: AgentUIMessage[] = [];

  /** `messages` have no tool calls. `last` is a turn without a question there that is not old, if there is one. */
  of(
    messages: readonly AgentUIMessage[],
    turns: ReadonlyMap<string, ToolTurn>,
    last?: string,
  ): AgentUIMessage[] {
    const answered = new Set(messages.map(({ metadata }) => metadata?.turnId));
    const unanswered = new Map<string, ToolTurn>();
    for (const turn of turns.values()) if (!answered.has(turn.turnId)) unanswered.set(turn.queryId, turn);
    const list = messages.flatMap((message) => {
      const turn = turns.get(message.metadata?.turnId ?? "");
      if (turn !== undefined) return this.#make(turn, message);
      // An answer without text: the base has no message of it.
      const silent = message.role === "user" ? unanswered.get(message.id) : undefined;
      return silent === undefined ? message : [message, this.#make(silent, undefined)];
    });
    const alone = last === undefined || answered.has(last) ? undefined : turns.get(last);
    if (alone !== undefined && !list.some(({ metadata }) => metadata?.turnId === last)) {
      list.push(this.#make(alone, undefined));
    }
    if (list.length !== this.#list.length || list.some((message, index) => message !== this.#list[index])) {
      this.#list = list;
    }
    return this.#list;
  }

  #make(turn: ToolTurn, from: AgentUIMessage | undefined): AgentUIMessage {
    const made = this.#made.get(turn);
    if (made !== undefined && made.from === from) return made.message;
    const message: AgentUIMessage = {
      ...(from ?? { id: `answer-${turn.turnId}`, role: "assistant" }),
      metadata: from?.metadata ?? { turnId: turn.turnId, ...turn.end },
      parts: partsOf(turn, from?.parts ?? []),
    };
    this.#made.set(turn, { from, message });
    return message;
  }
}

/** The parts of an answer with tools. `parts`: its reasoning and its whole text. */
function partsOf({ steps }: ToolTurn, parts: readonly AgentUIPart[]): AgentUIPart[] {
  const all = parts.filter(({ type }) => type !== "text");
  const whole = parts.find((part) => part.type === "text");
  const { before, rest } = around(steps.map(({ text }) => text).join(""), whole?.text ?? "");
  if (before !== "") all.push({ type: "text", text: before, state: "done" });
  for (const [index, { text, calls }] of steps.entries()) {
    if (index > 0) all.push({ type: "step-start" });
    const own = paragraph(text);
    if (own !== "") all.push({ type: "text", text: own, state: "done" });
    all.push(...calls.map(toolPart));
  }
  const own = paragraph(rest);
  if (own !== "") {
    all.push({ type: "step-start" }, { type: "text", text: own, state: whole?.state ?? "done" });
  }
  return all;
}

/**
 * What the whole text has before and after the texts of the steps. There is something before them if the client has missed the first
 * steps, and nothing after them while their deltas are still to come.
 */
export function around(steps: string, whole: string): { before: string; rest: string } {
  if (steps.startsWith(whole)) return { before: "", rest: "" };
  const at = whole.indexOf(steps);
  return at < 0
    ? { before: "", rest: whole }
    : { before: whole.slice(0, at), rest: whole.slice(at + steps.length) };
}

/** The text of a step without the empty line before it: it is a part of its own. */
export function paragraph(text: string): string {
  return text.replace(/^\n+/, "");
}

/** A call as a part. */
export function toolPart(call: ToolCall): AgentToolPart {
  const { callId: toolCallId, name: toolName, input, output = "", decision } = call;
  const part = { type: "dynamic-tool", toolName, toolCallId, input } as const;
  const { comment: reason } = decision ?? {};
  const id = { id: toolCallId, ...(reason !== undefined && { reason }) };
  const approved = decision && { approval: { ...id, approved: true } as const };
  switch (call.state) {
    case "approval":
      return { ...part, state: "approval-requested", approval: { id: toolCallId } };
    case "rejected":
    case "expired":
      return { ...part, state: "output-denied", approval: { ...id, approved: false } };
    case "done":
      return { ...part, state: "output-available", output: outputOf(output), ...approved };
    case "failed":
    case "unknown":
      return { ...part, state: "output-error", errorText: output, ...approved };
    case "ended":
      return { ...part, state: "output-error", errorText: ENDED, ...approved };
    default:
      return approved === undefined
        ? { ...part, state: "input-available" }
        : { ...part, state: "approval-responded", ...approved };
  }
}

/** An output that is a JSON object, list or string, as a value; any other as the text that it is. */
export function outputOf(output: string): unknown {
  if (!/^\s*[[{"]/.test(output)) return output;
  try {
    return JSON.parse(output);
  } catch {
    return output;
  }
}
