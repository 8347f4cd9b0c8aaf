/** The questions, and the one correct answer to each. Each can be computed from the other, so no state is needed. */

import { Random } from "./random.ts";

/** With characters of one, two, three and four bytes, and surrogate pairs that must not be split. */
const WORDS = ["wave", "tide", "Möwe", "pier", "潮", "lamp", "🌊", "letter", "naïve", "🧑‍🚀", "rope"] as const;

/** Contains the conversation's name, so that a client that sees another conversation's question is detected. */
export function questionOf(conversation: string, number: number): string {
  return `[${conversation}] ${number}: what do you see?`;
}

/** The conversation of a question. */
export function conversationOf(question: string): string | undefined {
  return /^\[([^\]]+)\] /.exec(question)?.[1];
}

/** The answer to a question. Every word has its number, so that a lost or doubled word is visible. */
export function answerTo(question: string): string {
  const random = new Random(question);
  const fate = random.next();
  const count = fate < 0.7 ? random.int(3, 40) : fate < 0.94 ? random.int(40, 120) : random.int(150, 350);
  const words: string[] = [];
  for (let number = 1; number <= count; number++) words.push(`${number}:${random.pick(WORDS)}`);
  return words.join(" ");
}
