/** A JSON value from a client, as stores and model providers take it. */

/** Deepest nesting. */
const MAX_DEPTH = 100;

/** The value nests too deeply. */
export const TOO_DEEP = Symbol("too deep");

/** A copy in which lone surrogates are replaced by U+FFFD, also in keys; or {@linkcode TOO_DEEP}. */
export function wellFormedJson(value: unknown, depth: number = MAX_DEPTH): unknown {
  if (typeof value === "string") return value.toWellFormed();
  if (typeof value !== "object" || value === null) return value;
  if (depth === 0) return TOO_DEEP;
  const inner = (each: unknown): unknown => wellFormedJson(each, depth - 1);
  const entries: [string, unknown][] = Array.isArray(value)
    ? value.map((each, index) => [String(index), inner(each)])
    : Object.entries(value).map(([key, each]) => [key.toWellFormed(), inner(each)]);
  if (entries.some(([, each]) => each === TOO_DEEP)) return TOO_DEEP;
  return Array.isArray(value) ? entries.map(([, each]) => each) : Object.fromEntries(entries);
}
