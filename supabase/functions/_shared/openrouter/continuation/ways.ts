/** How a model is asked to continue an answer. */

import type { ModelMessage } from "../../ports/model.ts";
import type { ContinueWay } from "../../protocol/log_event.ts";
import { remember } from "../remember.ts";
import { type BegunAnswer, MIN_PREFILL_CHARS } from "./begun_answer.ts";

/** A message as it is sent. */
export interface PromptMessage extends ModelMessage {
  /** Tells Mistral and DeepSeek to continue this message, which comes last. */
  prefix?: true;
}

/** Endpoints that continue a trailing assistant message only if it has `prefix: true`. */
const PREFIX_HOSTS = ["api.mistral.ai", "codestral.mistral.ai", "api.deepseek.com"];

export function wantsPrefix(baseUrl: string): boolean {
  return PREFIX_HOSTS.includes(new URL(baseUrl).hostname);
}

/** The ways to try, in order. `restart` comes last, and is always possible. */
export function waysFor(
  { normal, anchor }: BegunAnswer,
  { takesPrefill }: { takesPrefill: boolean },
): ContinueWay[] {
  const ways: ContinueWay[] = [];
  if (takesPrefill && normal.length >= MIN_PREFILL_CHARS) ways.push("prefill");
  if (anchor !== undefined) ways.push("anchored");
  ways.push("restart");
  return ways;
}

/** The line before the last words in the message that asks to continue. */
export const ANCHOR_REQUEST =
  "Your answer was cut off. Continue it exactly where it stops, in the same language and the same format, without a remark and " +
  "without repeating what comes before. Begin your reply with its last words, exactly as they are, and then write what follows " +
  "them. Its last words are:";

/** The messages behind the question that ask for the rest of the answer in this way. */
export function tailFor(
  way: ContinueWay,
  { begun, prefix }: { begun: BegunAnswer; prefix: boolean },
): readonly PromptMessage[] {
  const answer = { role: "assistant", content: begun.text } as const;
  switch (way) {
    case "prefill":
      return [prefix ? { ...answer, prefix } : answer];
    case "anchored":
      return [answer, { role: "user", content: `${ANCHOR_REQUEST}\n\n${begun.anchor ?? ""}` }];
    case "restart":
      return [];
  }
}

/** Most models of which it is remembered that they refuse a prefill. */
const MAX_REMEMBERED = 100;

/**
 * Which models continue a trailing assistant message: as the operator has set, except those that have refused
 * one.
 */
export class PrefillModels {
  readonly #patterns: readonly RegExp[];
  readonly #refusing = new Map<string, true>();

  /** `patterns`: names of models, in any case, in which `*` stands for anything. */
  constructor(patterns: readonly string[]) {
    this.#patterns = patterns.map((pattern) => {
      const parts = pattern.split("*").map((part) => part.replace(/[^\w-]/g, "\\$&"));
      return new RegExp(`^${parts.join(".*")}$`, "i");
    });
  }

  has(model: string): boolean {
    return !this.#refusing.has(model) && this.#patterns.some((pattern) => pattern.test(model));
  }

  refused(model: string): void {
    remember(this.#refusing, model, true, MAX_REMEMBERED);
  }
}
