/** What is asked, and the one right answer to it: each follows from the other, so that no state is needed. */

import { Random } from "./random.ts";

/** With signs of one, two, three and four bytes, and pairs of UTF-16 units that must not be torn apart. */
const WORDS = ["wave", "tide", "Möwe", "pier", "潮", "lamp", "🌊", "letter", "naïve", "🧑‍🚀", "rope"] as const;

/** Names the conversation in each of its questions, so that a client that sees another's is detected. */
export function questionOf(conversation: string, number: number): string {
  return `[${conversation}] ${number}: what do you see?`;
}

/** The conversation that a question is from. */
export function conversationOf(question: string): string | undefined {
  return /^\[([^\]]+)\] /.exec(question)?.[1];
}

/** The answer to a question. Every word has its number, so that one that is lost or doubled shows. */
export function answerTo(question: string): string {
  const random = new Random(question);
  const fate = random.next();
  const count = fate < 0.7 ? random.int(3, 40) : fate < 0.94 ? random.int(40, 120) : random.int(150, 350);
  const words: string[] = [];
  for (let number = 1; number <= count; number++) words.push(`${number}:${random.pick(WORDS)}`);
  return words.join(" ");
}
