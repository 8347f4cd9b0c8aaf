/** Reads the agent's prompt to the chaos model, and checks it. Pure. */

import * as z from "zod";
import { type AskedTo, readAskedTo } from "../../local/asked_to.ts";
import { conversationOf, isBeginning } from "./script.ts";

const request = z.object({
  messages: z.array(z.object({ role: z.enum(["system", "user", "assistant"]), content: z.string() })),
});

export interface Prompt {
  /** The user's last message, without what asks to continue an answer. */
  question: string;
  /** How its answer is asked for. */
  asked: AskedTo;
  /** Everything before the question except the system prompt, oldest first. */
  history: readonly { role: "user" | "assistant"; content: string }[];
}

/** Throws if the request is not a chat request. */
export function readPrompt(body: unknown): Prompt {
  const turns = request.parse(body).messages.flatMap(({ role, content }) =>
    role === "system" ? [] : [{ role, content }]
  );
  const { asked, rest } = readAskedTo(turns);
  return { question: rest.pop()?.content ?? "", asked, history: rest };
}

/** The problem of a prompt; undefined if it is correct. */
export function findProblem({ question, asked: askedTo, history }: Prompt): string | undefined {
  const conversation = conversationOf(question);
  if (conversation === undefined) return `foreign: no question of ours: ${question.slice(0, 80)}`;
  const text = askedTo.kind === "answer" ? "" : askedTo.text;
  if (!isBeginning(text, question)) {
    return `mismatched: ${question} is to go on from what is not its answer's beginning: ${text.slice(-60)}`;
  }
  if (askedTo.kind === "anchored" && !text.endsWith(askedTo.anchor)) {
    return `mismatched: ${question} has an anchor that is not its answer's end: ${askedTo.anchor}`;
  }
  let asked: string | undefined;
  for (const { role, content } of history) {
    if (role === "user") {
      if (conversationOf(content) !== conversation) {
        return `foreign: ${question} comes with ${content.slice(0, 80)}`;
      }
      asked = content;
    } else if (asked === undefined || !isBeginning(content, asked)) {
      return `mismatched: the history of ${question} has another answer to ${asked}: ${content.slice(-60)}`;
    }
  }
  return undefined;
}
