/** Thoughts that a model writes into its text, between tags at the beginning. */

/** What becomes of such thoughts: they are handed on as reasoning, dropped, or stay in the text. */
export const THINK_TAG_POLICIES = ["show", "strip", "leave"] as const;
export type ThinkTagPolicy = (typeof THINK_TAG_POLICIES)[number];

export interface ThinkTag {
  open: string;
  close: string;
}

/**
 * The tags that are known: `<think>` of DeepSeek R1, Qwen 3 and most open models, `<thinking>` of prompts that ask for it,
 * `<thought>` of Gemini's OpenAI-compatible endpoint, and `[THINK]` of Magistral's chat template.
 */
export const THINK_TAGS: readonly ThinkTag[] = [
  { open: "<think>", close: "</think>" },
  { open: "<thinking>", close: "</thinking>" },
  { open: "<thought>", close: "</thought>" },
  { open: "[THINK]", close: "[/THINK]" },
];

/**
 * The answer without the thoughts at its beginning, and without the white space behind them. A block without a closing tag
 * reaches to the end. A tag later in the text is part of the answer.
 */
export function withoutThoughts(answer: string): string {
  for (let rest = answer;;) {
    const start = rest.trimStart();
    const tag = THINK_TAGS.find(({ open, close }) => start.startsWith(open) || start.startsWith(close));
    if (tag === undefined) return rest === answer ? answer : start;
    const end = start.indexOf(tag.close);
    if (end < 0) return "";
    rest = start.slice(end + tag.close.length);
  }
}
