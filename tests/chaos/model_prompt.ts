/** What the agent puts before the chaos model, and whether it may. Pure. */

import * as z from "zod";
import { answerTo, conversationOf } from "./script.ts";

const request = z.object({
  messages: z.array(z.object({ role: z.enum(["system", "user", "assistant"]), content: z.string() })),
});

export interface Prompt {
  /** What the user said last. */
  question: string;
  /** What the model is to go on with: the assistant's beginning after that; "" where there is none. */
  partial: string;
  /** Everything before the question but the system's words, oldest first. */
  history: readonly { role: "user" | "assistant"; content: string }[];
}

/** Throws where the request is none of a chat. */
export function readPrompt(body: unknown): Prompt {
  const turns = request.parse(body).messages.flatMap(({ role, content }) =>
    role === "system" ? [] : [{ role, content }]
  );
  const last = turns.at(-1);
  const partial = last?.role === "assistant" ? last.content : "";
  if (last?.role === "assistant") turns.pop();
  return { question: turns.pop()?.content ?? "", partial, history: turns };
}

/** What is wrong with a prompt; undefined where nothing is. */
export function findProblem({ question, partial, history }: Prompt): string | undefined {
  const conversation = conversationOf(question);
  if (conversation === undefined) return `foreign: no question of ours: ${question.slice(0, 80)}`;
  if (!answerTo(question).startsWith(partial)) {
    return `mismatched: ${question} is to go on from what is not its answer's beginning: ${
      partial.slice(-60)
    }`;
  }
  let asked: string | undefined;
  for (const { role, content } of history) {
    if (role === "user") {
      if (conversationOf(content) !== conversation) {
        return `foreign: ${question} comes with ${content.slice(0, 80)}`;
      }
      asked = content;
    } else if (asked === undefined || !answerTo(asked).startsWith(content)) {
      return `mismatched: the history of ${question} has another answer to ${asked}: ${content.slice(-60)}`;
    }
  }
  return undefined;
}
