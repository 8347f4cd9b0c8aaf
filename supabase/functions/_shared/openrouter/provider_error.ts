/** Reads the body of a provider's error, whatever its shape. */

/** How much of a body is read, in characters. */
const MAX_CHARS = 8192;
const MAX_DEPTH = 8;

/** A statement about one field of the request. */
export interface FieldError {
  /** The path of the field, such as `["body", "temperature"]`. */
  path: readonly string[];
  /** The error's own words and codes. */
  text: string;
}

export interface ProviderError {
  /** Messages, types and codes, one each. What the body repeats of the request is left out. */
  texts: readonly string[];
  /** What the body says about fields that it names apart from its text, as `param` or `loc`. */
  fields: readonly FieldError[];
}

/** Parts of a body that repeat the request (pydantic's `input`, vLLM's `value`), or point at documentation. */
const IGNORED: ReadonlySet<string> = new Set(["input", "value", "ctx", "url", "callstack"]);

/** `body`: JSON in any nesting, also JSON within a string, as OpenRouter and proxies wrap errors of others; or plain text. */
export function readProviderError(body: string): ProviderError {
  const texts: string[] = [];
  const fields: FieldError[] = [];
  const walk = (value: unknown, depth: number): void => {
    if (depth > MAX_DEPTH || value === null) return;
    if (typeof value === "string") {
      const json = parse(value);
      if (json === undefined) texts.push(value);
      else walk(json, depth + 1);
    } else if (Array.isArray(value)) {
      for (const item of value) walk(item, depth + 1);
    } else if (typeof value === "object") {
      const path = pathOf(value as Record<string, unknown>);
      if (path.length > 0) fields.push({ path, text: wordsOf(value) });
      for (const [name, item] of Object.entries(value)) {
        if (name !== "loc" && name !== "param" && !IGNORED.has(name)) walk(item, depth + 1);
      }
    }
  };
  walk(body.slice(0, MAX_CHARS), 0);
  return { texts, fields };
}

/** The field that an object of an error points at: pydantic's `loc`, OpenAI's `param`, zod's `keys`. Empty if none. */
function pathOf({ loc, param, keys }: Record<string, unknown>): string[] {
  if (Array.isArray(loc)) return loc.map(String);
  if (typeof param === "string") return param.split(/[.[\]/]+/).filter((name) => name !== "");
  return Array.isArray(keys) ? keys.slice(0, 1).map(String) : [];
}

function wordsOf(value: object): string {
  const words = Object.entries(value).filter(([name, item]) =>
    typeof item === "string" && !IGNORED.has(name)
  );
  return words.map(([, word]) => word).join("\n");
}

function parse(text: string): unknown {
  if (!/^\s*[[{]/.test(text)) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    // Cut off, or not JSON: its words are read as text.
    return undefined;
  }
}
