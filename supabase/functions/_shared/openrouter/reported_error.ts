/** Errors as providers report them, in a body or in the stream: from any spelling to a stable code. */

import { type AttemptFailure, contentRefused, statusFailure, unnamedFailure } from "./attempt_failure.ts";
import { isRecord, type JsonObject, textOf } from "./json_values.ts";

export interface ReportOptions {
  /** What the provider said, for the log. */
  detail: string;
  /** The HTTP status, if it was not a success. */
  status?: number;
  retryAfterMs?: number | undefined;
}

/** What an error is about; a status stands for what that status means. */
type Kind = number | "content";

/**
 * Words in codes, types and statuses, in lower case without `_`, `-` and blanks. The first pattern that fits one of an error's words
 * counts, so what says more comes first: OpenAI's `context_length_exceeded` has the type `invalid_request_error`.
 *
 * OpenAI: https://platform.openai.com/docs/guides/error-codes · Anthropic: https://docs.anthropic.com/en/api/errors ·
 * Google: https://cloud.google.com/apis/design/errors · OpenRouter: https://openrouter.ai/docs/api-reference/errors
 */
const WORDS: readonly (readonly [kind: Kind, words: RegExp])[] = [
  [413, /context(length|window|size)|too(long|large)|abovemaxlength/],
  ["content", /content(filter|policy|moderation)|responsibleai|datainspection|safety|moderation/],
  [402, /insufficient(quota|credit|balance|funds?)|billing|payment|arrears?|quotaexceeded/],
  [401, /apikey|authenticat|unauthori[sz]ed|deactivated|invalidtoken/],
  [429, /ratelimit|toomanyrequests|resourceexhausted|throttl/],
  [403, /permission|forbidden|accessdenied|unsupportedcountry/],
  [404, /notfound|notexist|nosuchmodel|unknownmodel/],
  [408, /timeout|timedout|deadlineexceeded/],
  [503, /overload|unavailable|loading|capacity|busy/],
  [400, /invalid|badrequest|unsupported|failedprecondition|unprocessable|validation|missing|outofrange/],
];

/** What says more than any status: servers send each of these with several. */
const SPECIFIC: ReadonlySet<Kind> = new Set<Kind>([413, "content", 402, 401]);

/** Sentences of servers that have no code for a prompt that is too long: vLLM, llama.cpp, Anthropic, Mistral, Gemini. */
const TOO_LONG =
  /context (length|window|size)|maximum context|prompt is too long|too many (input )?tokens|input is too long|inputs. must have less than|tokens? .*exceeds? the (maximum|available)/i;

/**
 * Whether a chunk without choices is an error: vLLM's `{"object":"error"}`, Anthropic's `{"type":"error"}`, FastAPI's `{"detail":…}`,
 * Cloudflare's `{"errors":[…]}`, a gateway's `{"message":"…"}`.
 */
export function isErrorBody(chunk: JsonObject): boolean {
  const { object, type, detail, errors, message, status } = chunk;
  return object === "error" || type === "error" || status === "error" || typeof message === "string" ||
    typeof detail === "string" || isFilled(detail) || isFilled(errors);
}

/** Whether the `error` of a chunk or of a choice is one. Some servers send an empty one with every chunk. */
export function isError(error: unknown): boolean {
  if (isRecord(error)) return Object.keys(error).length > 0;
  return error === true || typeof error === "number" && error !== 0 ||
    typeof error === "string" && error !== "";
}

function isFilled(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0;
}

/** The failure that stands for an error of any shape: an object with or without `error`, a list of one, a text. */
export function reportedError(report: unknown, options: ReportOptions): AttemptFailure {
  const signs = new Signs();
  signs.add(report);
  const kind = kindOf(signs, options.status);
  if (kind === "content") return contentRefused(options);
  return kind === undefined ? unnamedFailure(options) : statusFailure(kind, {
    ...options,
    status: options.status ?? signs.status,
  });
}

/** The failure that an HTTP answer without success stands for: its status, unless the body says more. */
export function httpFailure(status: number, options: Omit<ReportOptions, "status">): AttemptFailure {
  let report: unknown;
  try {
    report = JSON.parse(options.detail);
  } catch {
    // A page, or a text.
    report = options.detail;
  }
  return reportedError(report, { ...options, status });
}

function kindOf({ status: own, words, sentences }: Signs, http: number | undefined): Kind | undefined {
  const status = http ?? own;
  const named = WORDS.find(([, pattern]) => words.some((word) => pattern.test(word)))?.[0];
  if (named !== undefined && SPECIFIC.has(named)) return named;
  // Refused or failed without a code: 400 of vLLM, 500 of older llama.cpp, no status at all in a stream.
  const mayBeTooLong = status === undefined || [400, 422, 500].includes(status);
  if (mayBeTooLong && sentences.some((sentence) => TOO_LONG.test(sentence))) return 413;
  return status ?? named;
}

/** What an error says about itself. */
class Signs {
  /** A status in the report; not of HTTP. */
  status: number | undefined;
  readonly words: string[] = [];
  readonly sentences: string[] = [];

  add(report: unknown, depth = 0): void {
    if (depth > 4) return;
    if (Array.isArray(report)) {
      for (const one of report.slice(0, 4)) this.add(one, depth + 1);
    } else if (typeof report === "string") {
      this.#addText(report);
    } else if (typeof report === "number") {
      this.#addCode(report);
    } else if (isRecord(report)) {
      // What is further inside says more, so that of two statuses it is the one that counts.
      for (const name of ["error", "errors", "innererror", "details", "detail", "metadata"]) {
        this.add(report[name], depth + 1);
      }
      for (const name of ["code", "status", "status_code", "type", "reason", "error_type"]) {
        this.#addCode(report[name]);
      }
      // Mistral has had an object there.
      if (isRecord(report.message)) this.add(report.message, depth + 1);
      else this.sentences.push(textOf(report.message));
    }
  }

  /** A text instead of an object may be a code or a sentence. */
  #addText(text: string): void {
    if (/^[\w.-]+$/.test(text)) this.#addCode(text);
    else this.sentences.push(text);
  }

  #addCode(code: unknown): void {
    const status = Number(code);
    if (typeof code === "boolean" || code === null || code === "") return;
    if (Number.isInteger(status) && status >= 400 && status < 600) this.status ??= status;
    else if (typeof code === "string") this.words.push(code.toLowerCase().replace(/[\s_.-]/g, ""));
  }
}
