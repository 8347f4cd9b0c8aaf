/**
 * JSON text that `jsonb` takes, and back again.
 *
 * `jsonb` refuses U+0000 and halves of surrogate pairs, which JavaScript's strings may have; a client sends them sooner or
 * later. Each such unit becomes a private-use character with its four hex digits after it, and so does that character
 * itself. What is rewritten is the text, not the strings in it: all of them at once, keys too, and the usual text, which
 * has none of these, is only looked at.
 */

const MARK = "\uE0FF";
const MARKED = /\uE0FF([0-9a-f]{4})/g;
/** How `JSON.stringify` writes them: in lower case, and the mark as it is. A backslash is never without its second half. */
const UNIT = /\\(?:u(0000|d[89a-f][0-9a-f]{2})|.)|\uE0FF/gs;
const SUSPECT = /\\u(?:0000|d[89a-f])|\uE0FF/;

/** What `JSON.stringify` made, without anything that `jsonb` refuses. */
export function toJsonbText(json: string): string {
  if (!SUSPECT.test(json)) return json;
  return json.replace(UNIT, (found: string, digits: string | undefined) => {
    if (found === MARK) return `${MARK}e0ff`;
    return digits === undefined ? found : MARK + digits;
  });
}

/** JSON text as it was before {@linkcode toJsonbText}. */
export function fromJsonbText(json: string): string {
  if (!json.includes(MARK)) return json;
  // JSON takes each of them as it is, but for NUL.
  return json.replace(
    MARKED,
    (_, digits: string) => digits === "0000" ? "\\u0000" : String.fromCharCode(parseInt(digits, 16)),
  );
}
