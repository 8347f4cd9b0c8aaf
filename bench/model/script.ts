/** What the model is to answer, and how fast: the question itself says so, so that both sides know the answer. */

export interface Script {
  tokens: number;
  /** Tokens a second; 0 for as fast as they are taken. */
  perSecond: number;
  /** Tokens that go out in one write, as one HTTP chunk. */
  perWrite: number;
}

/** Some of what text is made of: escapes of JSON, several bytes a character, surrogate pairs. */
const VOCABULARY = [
  " the",
  " of",
  " model",
  "ing",
  ",",
  " stream",
  " über",
  "\n",
  ' "so',
  '"',
  " 東京",
  " is",
  " 👋",
  " back\\slash",
  ".",
  " answer",
] as const;

export function tokenAt(index: number): string {
  // A number now and then, so that a token lost or doubled cannot be made up for by another.
  return index % 10 === 9 ? ` ${index}` : VOCABULARY[(index * 7) % VOCABULARY.length] ?? "";
}

/** The whole answer. */
export function answerTo({ tokens }: Script): string {
  return Array.from({ length: tokens }, (_, index) => tokenAt(index)).join("");
}

/** A script as the text of a question, and back. */
export function toQuestion(script: Script): string {
  return `${script.tokens} ${script.perSecond} ${script.perWrite}`;
}

export function fromQuestion(question: string): Script {
  const [tokens = 0, perSecond = 0, perWrite = 1] = question.split(" ").map(Number);
  return { tokens, perSecond, perWrite };
}
