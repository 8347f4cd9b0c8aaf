/** Tokens and keys, known by their looks, are taken out of whatever is written down. */

/** What stands in their place. */
export const MASK = "[masked]";

const SECRETS: readonly RegExp[] = [
  // Any JWT, whatever its header begins with; first, so that its parts are not taken for tokens of their own.
  // (The lookbehind keeps the time that a long word takes in proportion to its length.)
  /(?<![\w-])[\w-]{16,}\.[\w-]{16,}\.[\w-]{16,}/g,
  // One that was cut short or is unsigned: a header begins with `{"`.
  /\beyJ[\w-]{6,}(?:\.[\w-]*)*|(?<=jwt-)eyJ[\w-]+(?:\.[\w-]*)*/g,
  // In a URL, a form, a header.
  /(?<=\b(?:jwt|\w{0,20}token|apikey|api_key|password|secret)=)[^&\s"'#]+/gi,
  /(?<=:\/\/[^\s:@/]{0,64}:)[^\s@/]+(?=@)/g,
  /(?<=\b(?:Bearer|Basic)\s{1,4})[^\s"',]+/gi,
  // Supabase's keys; those of OpenRouter, OpenAI and their like; our own resume tokens.
  /\bsb_(?:secret|publishable)_[\w-]+/g,
  /\b(?:sk|pk|rk)[-_][\w-]{6,}/g,
  /(?<=\bresume-)[\w-]{20,}/g,
];

/** The text with everything masked that looks like a token or a key. */
export function maskSecrets(text: string): string {
  return SECRETS.reduce((masked, pattern) => masked.replace(pattern, MASK), text);
}
