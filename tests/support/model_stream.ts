/** Well-formed events of a model's stream. */

/** One event: `data: <JSON>` and a blank line. A string is not encoded as JSON, for `[DONE]`. */
export function sse(data: unknown): string {
  return `data: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`;
}

/** The event with a piece of text. */
export function delta(content: string): string {
  return sse({ model: "test/model", choices: [{ index: 0, delta: { content }, finish_reason: null }] });
}

/** The event with a piece of reasoning, as OpenRouter sends it. */
export function thought(reasoning: string): string {
  const choice = { index: 0, delta: { content: "", reasoning }, finish_reason: null };
  return sse({ model: "test/model", choices: [choice] });
}

/** A complete ending: the finish reason, the usage and `[DONE]`. */
export function ending(finishReason = "stop"): string {
  return finish(finishReason) +
    sse({ choices: [], usage: { prompt_tokens: 3, completion_tokens: 5, total_tokens: 8, cost: 0.0001 } }) +
    sse("[DONE]");
}

/** The event with the finish reason only. */
export function finish(finishReason = "stop"): string {
  return sse({ model: "test/model", choices: [{ index: 0, delta: {}, finish_reason: finishReason }] });
}
