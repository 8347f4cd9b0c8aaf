/** One entry of the log as a line of JSON: bounded in size, with tokens and keys masked. */

import type { LogEntry } from "../ports/runtime.ts";
import { MASK, maskSecrets } from "../secrets.ts";

const MAX_STRING_CHARS = 2000;
const LOOKED_AT_CHARS = 4000;
/** Of those that are known by what stands after them; a token is known by its beginning. */
const LONGEST_SECRET_CHARS = 256;
const MAX_DEPTH = 5;
const MAX_ITEMS = 50;
const MAX_STACK_FRAMES = 8;

/** Fields that hold a secret by their name; the counts `tokens`, `prompt_tokens` … are not among them. */
const SECRET_FIELD =
  /^(?:.*[_-])?(?:token|jwt|api[_-]?key|authorization|secret|password|cookie)$|(?:Token|Jwt|ApiKey|Secret|Password)$/i;

/** The line for `entry`, without a line break. Throws nothing that a field could provoke: not a cycle, not a getter. */
export function logLine(entry: LogEntry, nowMs: number): string {
  const { level, event, ...fields } = entry;
  const head = { time: new Date(nowMs).toISOString(), level, event };
  try {
    // The head twice: first in order, and last in authority.
    return JSON.stringify({ ...head, ...plainFields(fields, 1, []), ...head });
  } catch {
    return JSON.stringify({ ...head, problem: "Cannot write this entry: a field could not be read" });
  }
}

/** `value` as JSON can hold it. `above` are the objects that contain it, so that a cycle ends. */
function plain(value: unknown, depth: number, above: readonly object[]): unknown {
  switch (typeof value) {
    case "string":
      return plainText(value);
    case "bigint":
    case "symbol":
      return plainText(String(value));
    case "function":
      return "[function]";
    case "object":
      break;
    default:
      return value;
  }
  if (value === null) return null;
  if (above.includes(value)) return "[circular]";
  if (depth > MAX_DEPTH) return "[deep]";
  const inside = [...above, value];
  if (value instanceof Error) return plainError(value, depth, inside);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (Array.isArray(value)) return value.slice(0, MAX_ITEMS).map((item) => plain(item, depth + 1, inside));
  if (value instanceof Map) return plainFields(Object.fromEntries(value), depth + 1, inside);
  if (value instanceof Set) return plain([...value], depth, inside);
  return plainFields(value, depth + 1, inside);
}

function plainFields(value: object, depth: number, above: readonly object[]): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(value).slice(0, MAX_ITEMS).map(([name, field]) => [
      plainText(name),
      typeof field === "string" && SECRET_FIELD.test(name) ? MASK : plain(field, depth, above),
    ]),
  );
}

/** Of an error: what every one has, and the `code` and `status` that many have. The other fields may hold anything. */
function plainError(error: Error, depth: number, above: readonly object[]): Record<string, unknown> {
  const frames = (error.stack ?? "").split("\n").filter((line) => /^\s*at /.test(line));
  const { code, status } = error as { code?: unknown; status?: unknown };
  return {
    name: plainText(String(error.name)),
    message: plainText(String(error.message)),
    ...(typeof code === "string" || typeof code === "number" ? { code: plain(code, depth, above) } : {}),
    ...(typeof status === "number" ? { status } : {}),
    ...(frames.length > 0
      ? { stack: frames.slice(0, MAX_STACK_FRAMES).map((line) => plainText(line.trim())) }
      : {}),
    ...(error.cause === undefined ? {} : { cause: plain(error.cause, depth + 1, above) }),
  };
}

function plainText(text: string): string {
  // Masked before it is cut, so that no secret is cut to what is no longer known for one; not all of it, so that a text of
  // megabytes costs little; and without the last of what was looked at, where a secret may have been cut in two.
  const masked = maskSecrets(text.slice(0, LOOKED_AT_CHARS));
  const whole = text.length <= LOOKED_AT_CHARS;
  if (whole && masked.length <= MAX_STRING_CHARS) return masked;
  const end = whole ? masked.length : Math.max(0, masked.length - LONGEST_SECRET_CHARS);
  return `${masked.slice(0, Math.min(end, MAX_STRING_CHARS))}… [${text.length} characters]`;
}
