/**
 * Text in a form in which two spellings of the same words are equal: white space, quotation marks, dashes and
 * ellipses. Markdown is left as it is.
 */

const REPLACEMENTS = new Map<string, string>([
  ...[..."“”„‟«»″"].map((quote) => [quote, '"'] as const),
  ...[..."‘’‚‛‹›′"].map((quote) => [quote, "'"] as const),
  ...[..."‐‑‒–—―−"].map((dash) => [dash, "-"] as const),
  ["…", "..."],
]);
const SPACE = /\s/;

/**
 * Normalized text that grows, with the position of each character in the original. A run of white space is
 * one space; there is none at the beginning.
 */
export class NormalText {
  /** The normalized text. */
  text = "";
  /** The original text. */
  raw = "";
  /** For each UTF-16 unit of `text`: where its original begins, in UTF-16 units. */
  readonly #starts: number[] = [];

  constructor(raw = "") {
    this.push(raw);
  }

  get length(): number {
    return this.text.length;
  }

  push(raw: string): void {
    let normal = "";
    let isAfterSpace = this.text === "" || this.text.endsWith(" ");
    for (let index = 0; index < raw.length; index++) {
      const char = raw.charAt(index);
      const isSpace = char.charCodeAt(0) <= 0x7f ? char <= " " && SPACE.test(char) : SPACE.test(char);
      if (isSpace && isAfterSpace) continue;
      const replaced = isSpace ? " " : REPLACEMENTS.get(char) ?? char;
      for (let each = 0; each < replaced.length; each++) this.#starts.push(this.raw.length + index);
      normal += replaced;
      isAfterSpace = isSpace;
    }
    this.raw += raw;
    this.text += normal;
  }

  /** Where the original of a character of `text` begins; the end of the original for the end of `text`. */
  rawIndex(index: number): number {
    return this.#starts[index] ?? this.raw.length;
  }

  /**
   * The original from a character of `text` on; all of it from the first one on. Of a character that is
   * replaced by several, the rest of the replacement.
   */
  rawFrom(index: number): string {
    if (index === 0) return this.raw;
    const start = this.rawIndex(index);
    if (index >= this.length || this.rawIndex(index - 1) !== start) return this.raw.slice(start);
    let end = index;
    while (end < this.length && this.rawIndex(end) === start) end++;
    return this.text.slice(index, end) + this.raw.slice(this.rawIndex(end));
  }
}

/** As {@linkcode NormalText}, for a text that is complete, and without its end's white space. */
export function normalize(raw: string): string {
  return raw.trim().replace(/\s+/g, " ").replace(/[^\x20-\x7f]/g, (char) => REPLACEMENTS.get(char) ?? char);
}
