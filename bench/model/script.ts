/** The model's answer and its speed. The question itself contains them, so that both sides know the answer. */

export interface Script {
  tokens: number;
  /** Tokens per second; 0 for as fast as they are read. */
  perSecond: number;
  /** Tokens in one write, which is one HTTP chunk. */
  perWrite: number;
  /** Every token, without white space. Default: the tokens of {@linkcode tokenAt}. */
  word?: string;
}

/** Typical parts of text: JSON escapes, characters of several bytes, surrogate pairs. */
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

export function tokenAt(index: number, word?: string): string {
  if (word !== undefined) return word;
  // A number at intervals, so that a lost or doubled token cannot be hidden by another.
  return index % 10 === 9 ? ` ${index}` : VOCABULARY[(index * 7) % VOCABULARY.length] ?? "";
}

/** The whole answer. */
export function answerTo({ tokens, word }: Script): string {
  return Array.from({ length: tokens }, (_, index) => tokenAt(index, word)).join("");
}

/** A script as the text of a question, and back. */
export function toQuestion(script: Script): string {
  const { tokens, perSecond, perWrite, word } = script;
  return [tokens, perSecond, perWrite, ...(word === undefined ? [] : [word])].join(" ");
}

export function fromQuestion(question: string): Script {
  const [tokens = 0, perSecond = 0, perWrite = 1] = question.split(" ").map(Number);
  const [, , , word] = question.split(" ");
  return { tokens, perSecond, perWrite, ...(word !== undefined && { word }) };
}
