/** How a prompt asks a mock model for its answer. Pure. */

import { ANCHOR_REQUEST } from "../supabase/functions/_shared/openrouter/continuation/ways.ts";

export interface PromptMessage {
  role: string;
  content: string;
}

/** `text`: the answer so far, which the model is asked to continue. */
export type AskedTo =
  | { kind: "answer" }
  | { kind: "prefill"; text: string }
  /** The model is asked to repeat the anchor first. */
  | { kind: "anchored"; text: string; anchor: string };

/** Separates how the last messages ask for an answer from the conversation, which ends with the question. */
export function readAskedTo<T extends PromptMessage>(messages: readonly T[]): { asked: AskedTo; rest: T[] } {
  const last = messages.at(-1);
  const before = messages.at(-2);
  if (last?.role === "assistant") {
    return { asked: { kind: "prefill", text: last.content }, rest: messages.slice(0, -1) };
  }
  if (last?.role === "user" && last.content.startsWith(ANCHOR_REQUEST) && before?.role === "assistant") {
    const anchor = last.content.slice(ANCHOR_REQUEST.length).trim();
    return { asked: { kind: "anchored", text: before.content, anchor }, rest: messages.slice(0, -2) };
  }
  return { asked: { kind: "answer" }, rest: [...messages] };
}

/**
 * The reply of a model that obeys, and whose whole answer is `whole`. It begins again if the text so far is
 * another one.
 */
export function obey(asked: AskedTo, whole: string): string {
  if (asked.kind === "answer" || !whole.startsWith(asked.text)) return whole;
  return (asked.kind === "anchored" ? asked.anchor : "") + whole.slice(asked.text.length);
}
