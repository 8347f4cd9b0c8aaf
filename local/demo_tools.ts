/**
 * How the mock model uses tools. Pure, and simple on purpose: words of the question choose the tool, its schema says what to look
 * for in the question.
 *
 * - A question calls the tool with most words in common: a word of the name counts three, a word of the description one. If no
 *   word of a name occurs, nothing is called.
 * - A field of the input gets an allowed value (`enum`) that the question has; the number or the code behind the field's own word
 *   ("order 1001" for `order_id`); for a number, one of those that are left. Money is written with a currency sign or with decimals.
 * - A required field that the question does not have is looked up in the results of the conversation, in the record with the same
 *   id; if it is in none, a tool that finds such records is called first.
 */

/** A tool as a chat completion request has it. */
export interface DemoTool {
  name: string;
  description?: string | undefined;
  parameters?: unknown;
}

export interface DemoCall {
  name: string;
  /** JSON. */
  arguments: string;
}

export interface DemoStep {
  question: string;
  /** The results of tools for this question, oldest first. */
  results: readonly string[];
  /** The results for earlier questions. */
  earlier: readonly string[];
  /** The names of the tools that were called for this question. */
  called: readonly string[];
  tools: readonly DemoTool[];
}

interface Field {
  name: string;
  isRequired: boolean;
  isNumber: boolean;
  allowed: readonly unknown[];
}

type JsonObject = Record<string, unknown>;

/** A word of the name must be there. */
const MIN_SCORE = 3;

/** What the model does at this step: a call, or an answer in the words of the results; undefined if it is not about tools. */
export function demoStep(step: DemoStep): { call: DemoCall } | { text: string } | undefined {
  const { question, results, called } = step;
  const tool = bestTool(question, step.tools);
  if (tool !== undefined && !called.includes(tool.name)) {
    const input = inputOf(tool, step);
    const missing = fieldsOf(tool).filter(({ name, isRequired }) => isRequired && !(name in input));
    const finder = missing.length === 0 ? undefined : finderFor(tool, step);
    const [called, given] = finder === undefined ? [tool, input] : [finder, inputOf(finder, step)];
    return { call: { name: called.name, arguments: JSON.stringify(given) } };
  }
  const last = results.at(-1);
  return last === undefined ? undefined : { text: inWords(last) };
}

function bestTool(question: string, tools: readonly DemoTool[]): DemoTool | undefined {
  const asked = wordsOf(question);
  let best: { tool: DemoTool; score: number } | undefined;
  for (const tool of tools) {
    const named = common(wordsOf(tool.name), asked);
    const score = MIN_SCORE * named + common(wordsOf(tool.description ?? ""), asked);
    if (named > 0 && score > (best?.score ?? 0)) best = { tool, score };
  }
  return best?.tool;
}

/** Another tool, not called yet, that needs nothing which is not in the question, and has a word of the name in common. */
function finderFor(tool: DemoTool, step: DemoStep): DemoTool | undefined {
  return step.tools.find((other) => {
    if (other.name === tool.name || step.called.includes(other.name)) return false;
    const input = inputOf(other, step);
    return common(wordsOf(other.name), wordsOf(tool.name)) > 0 &&
      fieldsOf(other).every(({ name, isRequired }) => !isRequired || name in input);
  });
}

function inputOf(tool: DemoTool, { question, results, earlier }: DemoStep): JsonObject {
  const input: JsonObject = {};
  const fields = fieldsOf(tool);
  let rest = question;
  for (const { name, allowed, isNumber } of fields) {
    const asked = wordsOf(question);
    const value = allowed.find((value) => [...wordsOf(String(value))].every((word) => asked.has(word)));
    const [found, code = ""] = value === undefined && allowed.length === 0
      ? codeBehind(name, rest) ?? []
      : [];
    if (value !== undefined) input[name] = value;
    if (found === undefined) continue;
    input[name] = isNumber ? Number(code) : code;
    rest = rest.replace(found, " ");
  }
  const numbers = [...rest.matchAll(/\d+(?:\.\d+)?/g)].map(([digits]) => Number(digits));
  for (const { name, isNumber } of fields) {
    const number = isNumber && !(name in input) ? numbers.shift() : undefined;
    if (number !== undefined) input[name] = number;
  }
  const records = [...earlier, ...results].reverse().flatMap((result) => recordsIn(result));
  const record = records.find(({ id }) =>
    id !== undefined && Object.values(input).map(String).includes(String(id))
  );
  for (const { name, isRequired, isNumber } of fields) {
    if (!isRequired || name in input || record === undefined) continue;
    const value = record[name] ?? (isNumber ? record.total ?? record.price : undefined);
    if (value !== undefined) input[name] = isNumber ? Number(value) : value;
  }
  return input;
}

/** The code with a digit behind a word of the field's name, "order 1001", with what was matched. */
function codeBehind(field: string, text: string): readonly [match: string, code: string] | undefined {
  for (const word of wordsOf(field)) {
    const [match, code] =
      new RegExp(`\\b${word}s?\\W{0,3}(?:(?:id|no|number)\\W{0,3})?([\\w-]*\\d[\\w-]*)`, "i").exec(text) ??
        [];
    if (match !== undefined && code !== undefined) return [match, code];
  }
  return undefined;
}

function fieldsOf({ parameters }: DemoTool): Field[] {
  const { properties, required } = isObject(parameters) ? parameters : {};
  return Object.entries(isObject(properties) ? properties : {}).map(([name, schema]) => {
    const { type, enum: allowed } = isObject(schema) ? schema : {};
    return {
      name,
      isRequired: Array.isArray(required) && required.includes(name),
      isNumber: type === "number" || type === "integer",
      allowed: Array.isArray(allowed) ? allowed : [],
    };
  });
}

/** A result as a person would tell it. */
function inWords(result: string): string {
  const value = jsonIn(result);
  const records = recordsIn(result);
  if (Array.isArray(value) && value.length === 0) return "I found nothing.";
  if (Array.isArray(value) && records.length === value.length) {
    return `I found ${value.length}:\n\n${records.map((record) => `- ${lineOf(record)}`).join("\n")}`;
  }
  if (isObject(value)) {
    return typeof value.error === "string" ? `That did not work: ${value.error}` : `Done: ${lineOf(value)}.`;
  }
  return `The tool says: ${value === undefined ? result.trim() : String(value)}`;
}

function lineOf(record: JsonObject): string {
  return Object.entries(record).map(([name, value]) => {
    const shown = typeof value === "object" ? JSON.stringify(value) : String(value);
    return name === "id" ? `**${shown}**` : `${name.replaceAll("_", " ")} ${shown}`;
  }).join(", ");
}

/** The objects of a result: of a list, or itself. */
function recordsIn(result: string): JsonObject[] {
  const value = jsonIn(result);
  return (Array.isArray(value) ? value : [value]).filter(isObject);
}

/** The data of a result. Undefined if it is no JSON. */
function jsonIn(text: string): unknown {
  const value = jsonBetweenWords(text);
  // As the runner of tools marks it: `{"tool":…,"data":…}`. An error keeps its mark.
  return isObject(value) && "tool" in value && "data" in value ? value.data : value;
}

/** The JSON in a text, which may stand between words. */
function jsonBetweenWords(text: string): unknown {
  for (const [open, close] of [["[", "]"], ["{", "}"]] as const) {
    const [start, end] = [text.indexOf(open), text.lastIndexOf(close)];
    const isFirst = start >= 0 && (open === "{" || !text.slice(0, start).includes("{"));
    const value = isFirst ? parse(text.slice(start, end + 1)) : undefined;
    if (value !== undefined) return value;
  }
  return parse(text);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** In lower case and in the singular, without those that say nothing. */
function wordsOf(text: string): ReadonlySet<string> {
  const words = text.toLowerCase().split(/[^a-z0-9]+/).map((word) => word.replace(/(?<=\w{3})s$/, ""));
  return new Set(words.filter((word) => word.length > 2 || word === "id").filter((word) => !NOISE.has(word)));
}

const NOISE: ReadonlySet<string> = new Set([
  "the",
  "and",
  "for",
  "are",
  "what",
  "with",
  "get",
  "who",
  "how",
  "you",
  "that",
  "thi",
  "can",
  "all",
]);

function common(words: ReadonlySet<string>, others: ReadonlySet<string>): number {
  return [...words].filter((word) => others.has(word)).length;
}
