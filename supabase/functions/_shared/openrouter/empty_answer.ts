/** Answers without text and tool calls: an error that says what happened, never a success. */

import type { Usage } from "../protocol/log_event.ts";
import { AttemptFailure } from "./attempt_failure.ts";

/** What came instead of text. */
export interface EmptyAnswer {
  finishReason: string;
  hasThought: boolean;
  hasToolCall: boolean;
  /** Whether the request offers tools. */
  hasTools: boolean;
  usage: Usage | undefined;
}

/**
 * The failure for an answer without text. Only where nothing at all came is it retryable and asked again: everything else has been
 * paid for, and the same question most likely ends the same way.
 */
export function emptyAnswer(
  { finishReason, hasThought, hasToolCall, hasTools, usage }: EmptyAnswer,
): AttemptFailure {
  const fail = (message: string, retryable = false): AttemptFailure =>
    new AttemptFailure("empty_answer", message, {
      detail: `no text, finish reason ${JSON.stringify(finishReason)}`,
      retryable,
      usage,
    });
  if (finishReason === "content_filter") {
    return fail("the content filter of the model provider removed the answer");
  }
  if (finishReason === "refusal") return fail("the model refused to answer");
  if (hasTools && finishReason === "tool_calls") {
    return fail("the model called a tool, but the model provider did not send the call", true);
  }
  if (hasToolCall || finishReason === "tool_calls") {
    return fail("the model called a tool instead of answering, and there are no tools here");
  }
  const isThought = hasThought || (usage?.reasoning_tokens ?? 0) > 0;
  if (finishReason === "length") {
    return fail(
      isThought
        ? "the model used all its tokens for thinking and had none left for the answer"
        : "the model reached its limit of tokens before it wrote any text",
    );
  }
  if (isThought) return fail("the model thought about the question, but wrote no answer");
  return fail("the model ended its answer without writing anything", true);
}
