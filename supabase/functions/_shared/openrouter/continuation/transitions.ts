/** What may stand between two texts: white space, and the remarks of a model. */

/** The units in which two texts can have the same white space: a line break is one, however it is written. */
function unitsOf(space: string): string[] {
  return space.match(/\r\n|[^]/g)?.map((unit) => unit === "\r\n" ? "\n" : unit) ?? [];
}

/**
 * What is added to an answer that ends in the white space `had`, when its continuation begins with the white
 * space `comes`: the rest of `comes`, if that begins with `had`. Otherwise undefined.
 */
export function joinSpace(had: string, comes: string): string | undefined {
  // Exactly the same: `had` may end between the two halves of a line break.
  if (comes.startsWith(had)) return comes.slice(had.length);
  const before = unitsOf(had);
  const after = unitsOf(comes);
  return before.every((unit, index) => after[index] === unit)
    ? after.slice(before.length).join("")
    : undefined;
}

/**
 * Whether a reply begins as a new text does and not as the continuation of `text`, which does not end in
 * white space.
 */
export function isNewSentence(text: string, reply: string): boolean {
  return /[\p{L}\p{M}\p{N}\p{Cf}\p{Pe}\p{Pf}\p{So}.!?,;:…]$/u.test(text) && /^\p{Lu}/u.test(reply);
}

/**
 * Whether a text can be a remark before the words that a model was asked to repeat: "Sure! Here is the
 * rest:".
 */
export function isRemark(text: string): boolean {
  // A text that begins in the middle of a sentence continues the answer.
  if (/^\s*(?:\p{Ll}|[,;)\]]|\.(?!\.))/u.test(text)) return false;
  const words = text.trimEnd();
  const isLine = text.slice(words.length).includes("\n");
  return words === "" || isLine || /(?:[:：>"'“”„«»‘’‚‹›「『*_`–—-]|\.\.\.|…)$/u.test(words);
}
