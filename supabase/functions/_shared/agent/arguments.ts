/** The arguments of a call, as a model writes them, and the input that a tool accepts. */

import { type InputIssue, isObject } from "./input_schema.ts";
import type { BoundCall, Tool } from "./tool.ts";

/** Longest piece of a model's text in a message, in characters. */
const MAX_QUOTED_CHARS = 64;
const MAX_ISSUES = 5;
const MAX_ISSUE_CHARS = 200;

/** A name or a value that the model has written, short enough to be repeated. */
export function quoted(text: string): string {
  return JSON.stringify(shortened(text));
}

function shortened(text: string): string {
  return text.length > MAX_QUOTED_CHARS ? `${text.slice(0, MAX_QUOTED_CHARS).toWellFormed()}…` : text;
}

/** The arguments as an object. Empty ones and `null` are `{}`: models write both for no input. */
export function parseArguments(text: string): { input: Record<string, unknown> } | { problem: string } {
  let input: unknown;
  try {
    input = text.trim() === "" ? {} : JSON.parse(text) ?? {};
  } catch {
    return { problem: `Cannot read the arguments: they are not valid JSON, but ${quoted(text)}` };
  }
  if (!isObject(input)) {
    return { problem: `Cannot read the arguments: they must be a JSON object, not ${quoted(text)}` };
  }
  return { input };
}

/** Input that a tool has accepted, as the log may keep it. */
export interface AcceptedInput {
  /** JSON. */
  input: unknown;
  bound: BoundCall;
}

/** Checks an input with the schema of a tool. Never rejects. */
export async function accept(tool: Tool, input: unknown): Promise<AcceptedInput | { problem: string }> {
  try {
    const bound = await tool.bind(input);
    if ("issues" in bound) return { problem: `Cannot accept the input: ${describe(bound.issues)}` };
    return { input: await loggable(tool, { input, bound }), bound };
  } catch {
    return { problem: "Cannot accept the input: its schema failed to check it" };
  }
}

/**
 * What a person is shown, and what runs: with the schema's defaults, and without what the schema drops. Where the schema
 * makes of the input what is no JSON, or what it would not take again, it is the input as it came.
 */
async function loggable(tool: Tool, { input, bound: { parsed } }: AcceptedInput): Promise<unknown> {
  const text = JSON.stringify(parsed);
  const again = await tool.bind(JSON.parse(text));
  return "parsed" in again && JSON.stringify(again.parsed) === text && isPlain(parsed) ? parsed : input;
}

/** Whether it consists of JSON's own values. A date is written as text, and would be read back as text. */
function isPlain(value: unknown): boolean {
  if (Array.isArray(value)) return value.every(isPlain);
  if (isObject(value)) {
    const prototype = Object.getPrototypeOf(value);
    return (prototype === Object.prototype || prototype === null) && Object.values(value).every(isPlain);
  }
  return value === null || ["string", "boolean", "undefined"].includes(typeof value) ||
    Number.isFinite(value);
}

function describe(issues: readonly InputIssue[]): string {
  const told = issues.slice(0, MAX_ISSUES).map(({ path = [], message }) => {
    const where = path.map((step) => String(typeof step === "object" ? step.key : step)).join(".");
    return `${where === "" ? "" : `${shortened(where)}: `}${shortMessage(message)}`;
  });
  const more = issues.length - told.length;
  return told.join("; ") + (more > 0 ? `; and ${more} more` : "");
}

/** Messages may repeat names that the model has made up. */
function shortMessage(message: string): string {
  const short = message.replace(/"([^"]{65,})"|\S{65,}/g, (long) => quoted(long.replaceAll('"', "")));
  return short.length > MAX_ISSUE_CHARS ? `${short.slice(0, MAX_ISSUE_CHARS)}…` : short;
}
