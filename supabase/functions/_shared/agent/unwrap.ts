/** What `execute` returned, where it is the answer of supabase-js. */

import { isObject } from "./input_schema.ts";

/** The fields of an answer of PostgREST, of a function, and of storage. */
const FIELDS = new Set(["data", "error", "count", "status", "statusText", "response", "success"]);

/** `data` of an answer of supabase-js, or what its error says; any other value as it is. */
export function unwrap(value: unknown): { data: unknown } | { problem: string } {
  if (!isObject(value) || !("data" in value) || !("error" in value)) return { data: value };
  if (!Object.keys(value).every((name) => FIELDS.has(name))) return { data: value };
  const { data, error, count } = value;
  if (error !== null && error !== undefined) return { problem: problemOf(error) };
  // A query for the count alone has no data.
  return { data: data === null && typeof count === "number" ? { count } : data };
}

function problemOf(error: unknown): string {
  if (!(isObject(error) || error instanceof Error)) return String(error);
  const part = (name: string): string => {
    const value: unknown = Reflect.get(error, name);
    return typeof value === "string" ? value : "";
  };
  const more = [part("code"), part("details"), part("hint")].filter((text) => text !== "");
  return `${part("message") || "unknown error"}${more.length > 0 ? ` (${more.join("; ")})` : ""}`;
}
