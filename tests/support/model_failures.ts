/** The ways in which a provider can fail, as bytes on the wire, and the error that a client must get for each. */

import { delta, ending, sse } from "./model_stream.ts";
import { CUT, HOLD, type RawAnswer, RESET } from "./raw_model_server.ts";

/** Part of every error text from a failing provider. No frame to a client may contain it. */
export const PROVIDERS_WORDS = "what-the-provider-said";

export interface ModelFailure {
  name: string;
  answer: RawAnswer;
  code: string;
  retryable: boolean;
  retryAfterMs?: number;
  /** The text that was sent before the failure. */
  partial?: string;
}

function refusal(status: number, headers: Readonly<Record<string, string>> = {}): RawAnswer {
  return {
    status,
    headers: { "content-type": "application/json", ...headers },
    steps: [
      JSON.stringify({
        error: { code: status, message: PROVIDERS_WORDS, metadata: { raw: PROVIDERS_WORDS } },
      }),
    ],
  };
}

/** A stream that begins with valid text. */
function broken(...steps: NonNullable<RawAnswer["steps"]>): Pick<ModelFailure, "answer" | "partial"> {
  return { answer: { steps: [delta("So far "), ...steps] }, partial: "So far " };
}

const page = `<!doctype html><title>${PROVIDERS_WORDS}</title><h1>502 Bad Gateway</h1>`;
const rejected = { code: "model_rejected", retryable: false };
const unauthorized = { code: "model_unauthorized", retryable: false };
const limited = { code: "model_rate_limited", retryable: true };
const unavailable = { code: "model_unavailable", retryable: true };
const timeout = { code: "model_timeout", retryable: true };
const cutShort = { code: "model_stream_broken", retryable: true };
const empty = { code: "empty_answer", retryable: false };

/** For a function with `MAX_RETRIES=0` and timeouts of some hundred milliseconds. */
export const MODEL_FAILURES: readonly ModelFailure[] = [
  { name: "400", answer: refusal(400), ...rejected },
  { name: "401", answer: refusal(401), ...unauthorized },
  { name: "402", answer: refusal(402), ...unauthorized },
  { name: "403", answer: refusal(403), ...unauthorized },
  { name: "404", answer: refusal(404), ...rejected },
  { name: "408", answer: refusal(408), ...timeout },
  { name: "413", answer: refusal(413), code: "prompt_too_long", retryable: false },
  { name: "429", answer: refusal(429), ...limited },
  {
    name: "429 for a minute",
    answer: refusal(429, { "retry-after": "60" }),
    ...limited,
    retryAfterMs: 60_000,
  },
  { name: "500", answer: refusal(500), ...unavailable },
  {
    name: "502 with a page",
    answer: { status: 502, headers: { "content-type": "text/html" }, steps: [page] },
    ...unavailable,
  },
  { name: "503 with nothing", answer: { status: 503, headers: {} }, ...unavailable },
  {
    name: "200 with a page",
    answer: { headers: { "content-type": "text/html" }, steps: [page] },
    ...cutShort,
  },
  { name: "200 with an error as JSON", answer: { ...refusal(200) }, ...unavailable },
  { name: "200 with nothing", answer: {}, ...cutShort },
  { name: "no answer but a head", answer: { steps: [HOLD] }, ...timeout },
  {
    name: "nothing but comments",
    answer: {
      steps: Array.from({ length: 100 }, () => [": OPENROUTER PROCESSING\n\n", { waitMs: 50 }]).flat(),
    },
    ...timeout,
  },
  { name: "a reset", ...broken(RESET), ...cutShort },
  { name: "a cut", ...broken(CUT), ...cutShort },
  {
    name: "a cut within an event",
    ...broken(`data: {"choices":[{"delta":{"content":"${PROVIDERS_WORDS}`, CUT),
    ...cutShort,
  },
  { name: "garbage", ...broken(`data: {${PROVIDERS_WORDS}\n\n`), ...cutShort },
  {
    name: "bytes that are no text",
    ...broken(Uint8Array.from({ length: 1000 }, (_, at) => at * 7 % 256), "\n\ndata: \xff\n\n"),
    ...cutShort,
  },
  { name: "an event that is no object", ...broken(sse([PROVIDERS_WORDS])), ...cutShort },
  {
    name: "an error in the stream",
    ...broken(
      sse({
        error: { code: 502, message: PROVIDERS_WORDS },
        choices: [{ delta: {}, finish_reason: "error" }],
      }),
    ),
    ...unavailable,
  },
  {
    name: "a limit in the stream",
    ...broken(sse({ error: { code: 429, message: PROVIDERS_WORDS } })),
    ...limited,
  },
  {
    name: "an error without a number",
    ...broken(sse({ error: { code: "server_error", message: PROVIDERS_WORDS } })),
    ...unavailable,
  },
  {
    name: "an error as a finish reason",
    ...broken(sse({ choices: [{ delta: {}, finish_reason: "error" }] })),
    ...unavailable,
  },
  {
    name: "an error before any word",
    answer: { steps: [sse({ error: { code: 400, message: PROVIDERS_WORDS } })] },
    ...rejected,
  },
  { name: "no finish reason", ...broken(), ...cutShort },
  { name: "nothing but [DONE]", answer: { steps: [sse("[DONE]")] }, ...empty, retryable: true },
  {
    name: "nothing but thoughts",
    answer: { steps: [sse({ choices: [{ delta: { reasoning: PROVIDERS_WORDS } }] }), ending("length")] },
    ...empty,
  },
  { name: "a filtered answer", answer: { steps: [ending("content_filter")] }, ...empty },
  { name: "a stall", ...broken(HOLD), ...timeout },
  {
    name: "a line of 10 MiB",
    ...broken("data: ", ...Array<string>(10).fill(PROVIDERS_WORDS.repeat(50_000).slice(0, 1_048_576))),
    ...cutShort,
  },
];
