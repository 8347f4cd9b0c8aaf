/** Checks on parsed JSON. */

export type JsonObject = Record<string, unknown>;

export function isRecord(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The value if it is a text with at least one character, otherwise "". */
export function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
