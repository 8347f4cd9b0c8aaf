/** The words of the chaos model's answers. */

import type { Random } from "./random.ts";

/** With characters of one, two, three and four bytes, and surrogate pairs that must not be split. */
const WORDS = ["wave", "tide", "Möwe", "pier", "潮", "lamp", "🌊", "letter", "naïve", "🧑‍🚀", "rope"] as const;

/** Every word has its number, so that a lost or doubled word is visible. */
export function numberedWords(random: Random, count: number): string {
  const words: string[] = [];
  for (let number = 1; number <= count; number++) words.push(`${number}:${random.pick(WORDS)}`);
  return words.join(" ");
}
