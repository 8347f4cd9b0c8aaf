/**
 * Finds out which parameter of a request a provider has refused. There is no standard for this: the shapes are those of OpenAI
 * and Azure (`param`), pydantic (`loc`: Mistral, vLLM, FastAPI), Groq and Cerebras ("property 'x' is unsupported"), Google
 * ("Unknown name"), serde ("unknown field `x`, expected one of …"), Fireworks, LiteLLM and xAI.
 */

import { readProviderError } from "./provider_error.ts";
import type { RequestFields } from "./request.ts";

export interface RefusedParameter {
  /** A field of the request that was sent. */
  field: string;
  /** Only this value was refused; another one may be accepted. */
  isValueOnly: boolean;
}

export interface RefusedRequest {
  status?: number | undefined;
  /** The body of the error. */
  detail: string;
}

/** A request without these is not the same request. */
const ESSENTIAL: ReadonlySet<string> = new Set(["messages", "model", "stream", "tools"]);
/** Begins the path of a field in some bodies. */
const ROOTS: ReadonlySet<string> = new Set(["body", "$", "#", "root"]);

/** Words of a refusal. A text without one of them only mentions a field. */
const REFUSAL =
  /unsupported|unknown|unrecogni[sz]ed|unexpected|extra|invalid|deprecated|disabled|removed|mandatory|exceed|maximum|minimum|range|\b(?:not|cannot|can't|doesn't|must|should|only|too|at most|at least|(?:less|greater) than)\b/i;
const OF_EVERY_VALUE =
  /only the default|deprecated|unknown (?!variant)|unrecogni[sz]ed|unexpected|\bextra|additional propert|not permitted|unsupported[ _]param/i;
const OF_ONE_VALUE =
  /(?:unsupported|invalid)[ _]value|unknown variant|supported values|\bmust\b|should be|one of|too (?:large|small|high|low|big)|(?:less|greater) than|at most|at least|between|\brange|exceed|maximum|minimum/i;

/**
 * The parameters in `sent` that the refusal names and that a request can do without. Several only if the body lists them
 * apart; of a text the one that it names first. Empty if there is none, or if the status is neither 400 nor 422.
 */
export function refusedParameters(
  { status, detail }: RefusedRequest,
  sent: RequestFields,
): readonly RefusedParameter[] {
  if (status !== 400 && status !== 422) return [];
  const { texts, fields } = readProviderError(detail);
  const listed = new Map<string, RefusedParameter>();
  let isEssential = false;
  for (const { path, text } of fields) {
    const field = fieldAt(path, sent);
    if (field === undefined) continue;
    if (ESSENTIAL.has(field)) isEssential = true;
    else listed.set(field, { field, isValueOnly: isAboutValue(text) });
  }
  if (listed.size > 0) return [...listed.values()];
  if (isEssential) return [];
  for (const text of texts) {
    const field = REFUSAL.test(text) ? firstNamed(text, sent) : undefined;
    if (field !== undefined) return [{ field, isValueOnly: isAboutValue(text) }];
  }
  return [];
}

function fieldAt(path: readonly string[], sent: RequestFields): string | undefined {
  const name = path.find((part) => !ROOTS.has(part));
  return Object.keys(sent).find((field) => field === name || camelCased(field) === name);
}

function isAboutValue(text: string): boolean {
  if (/only the default/i.test(text)) return false;
  if (OF_EVERY_VALUE.test(text) && !/(?:unsupported|invalid)[ _]value/i.test(text)) return false;
  // Where it is not clear: a client that sends another value must not lose the parameter by it.
  return OF_ONE_VALUE.test(text) || !/support|allowed/i.test(text);
}

/** The field that is named first in the text: after it may come a list of those that are known. */
function firstNamed(text: string, sent: RequestFields): string | undefined {
  let first: { field: string; at: number } | undefined;
  for (const field of Object.keys(sent)) {
    if (ESSENTIAL.has(field)) continue;
    const at = text.search(nameIn(field));
    if (at >= 0 && (first === undefined || at < first.at)) first = { field, at };
  }
  return first?.field;
}

/** Matches the name of a field. One that is also an ordinary word counts only where it is marked as a name. */
function nameIn(field: string): RegExp {
  const name = `(?:${field}|${camelCased(field)})`;
  if (field.includes("_") || field === "temperature") return new RegExp(`\\b${name}\\b`, "i");
  const quoted = `["'\`[({/]${name}["'\`\\])}]`;
  const introduced =
    `(?:parameters?|arguments?|fields?|propert(?:y|ies)|keys?|names?|supplied|->)\\W{1,3}${name}\\b|body\\.${name}\\b`;
  const subject = `(?:^|[\\s>])${name}(?::| (?:is|are|must|cannot)\\b)`;
  return new RegExp(`${quoted}|${introduced}|${subject}`, "i");
}

function camelCased(field: string): string {
  return field.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
}
