/** Reads the agent's prompt to the chaos model, and checks it. Pure. */

import * as z from "zod";
import { answerTo, conversationOf } from "./script.ts";

const request = z.object({
  messages: z.array(z.object({ role: z.enum(["system", "user", "assistant"]), content: z.string() })),
});

export interface Prompt {
  /** The user's last message. */
  question: string;
  /** The assistant's partial answer after it, which the model must continue; "" if there is none. */
  partial: string;
  /** Everything before the question except the system prompt, oldest first. */
  history: readonly { role: "user" | "assistant"; content: string }[];
}

/** Throws if the request is not a chat request. */
export function readPrompt(body: unknown): Prompt {
  const turns = request.parse(body).messages.flatMap(({ role, content }) =>
    role === "system" ? [] : [{ role, content }]
  );
  const last = turns.at(-1);
  const partial = last?.role === "assistant" ? last.content : "";
  if (last?.role === "assistant") turns.pop();
  return { question: turns.pop()?.content ?? "", partial, history: turns };
}

/** The problem of a prompt; undefined if it is correct. */
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
