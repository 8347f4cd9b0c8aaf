/**
 * Broadcasts over HTTP: a function that only sends needs no connection, joins nothing and does not load supabase-js.
 *
 * Messages of one moment share a request, `POST /api/broadcast`; a single one goes to `/api/broadcast/:topic/events/:event`,
 * as `httpSend` of supabase-js does. Facts of the server (realtime, batch_broadcast.ex, single_broadcast.ex, rate_limiter.ex):
 * - it counts each message, not each request, and refuses a request (429, "please reduce the batch size") if all its messages
 *   together would pass the limit;
 * - one invalid message refuses the whole request (422), and so does the size of all of them (413): nothing of it was sent.
 *   Then each message is sent once more by itself;
 * - if the project's database cannot say whether the key may write, the shared request is accepted and the messages are
 *   dropped, while the single one is refused: so a message that goes alone, as most notifications do, goes there.
 *
 * The key goes as `apikey`; the gateway makes the Bearer token of it (supabase/cli, kong.yml).
 */

import { AgentError } from "../errors.ts";
import type { RelayMessage, RelayPressure } from "../ports/relay.ts";
import type { Clock } from "../ports/runtime.ts";
import { encodeRelayPayload, utf8Bytes } from "../protocol/relay_payload.ts";
import { deadlineFetch, type Fetch } from "./deadline_fetch.ts";

/** In one request. A worker has nine topics, and sends to each of them once in a moment. */
const MAX_MESSAGES = 20;
/** Of one request: an eighth of what the server takes. One message is always smaller. */
const MAX_REQUEST_BYTES = 1_000_000;
/** About what the JSON of a message has beside its topic, event and payload. */
const MESSAGE_FRAME_BYTES = 60;
/** Of what Realtime says when it refuses. */
const MAX_REASON_CHARS = 200;
/** What it says when only the number of messages was too large (realtime, batch_broadcast.ex). */
const TOO_MANY_TOGETHER = "reduce the batch size";

export interface RealtimePublisherOptions {
  /** The project's URL, without a slash at its end. */
  supabaseUrl: string;
  /** `sb_secret_…`, or the legacy service role key. */
  secretKey: string;
  clock: Clock;
  /** How long Realtime may take to answer. */
  timeoutMs: number;
  /** Default: the runtime's, with the time limit. */
  fetch?: Fetch;
  /** Called with the project's message rate that Realtime reports in each answer. Must not throw. */
  onPressure?(pressure: RelayPressure): void;
}

/** A message that waits for its request. */
interface Waiting {
  topic: string;
  event: string;
  /** As JSON. */
  payload: string;
  bytes: number;
  settle: PromiseWithResolvers<void>;
}

export class RealtimePublisher {
  readonly #options: RealtimePublisherOptions;
  readonly #url: string;
  readonly #fetch: Fetch;
  #waiting: Waiting[] = [];

  constructor(options: RealtimePublisherOptions) {
    const { supabaseUrl, clock, timeoutMs, fetch = deadlineFetch(clock, timeoutMs) } = options;
    this.#options = options;
    this.#url = `${supabaseUrl}/realtime/v1/api/broadcast`;
    this.#fetch = fetch;
  }

  /**
   * Resolves once Realtime has accepted it, which does not prove delivery: it may accept a message to a private topic that the
   * key may not write, and drop it.
   */
  // deno-lint-ignore require-await -- so that what throws rejects
  async publish(topic: string, { event, payload }: RelayMessage): Promise<void> {
    const json = encodeRelayPayload(payload);
    const bytes = utf8Bytes(json) + utf8Bytes(topic) + utf8Bytes(event) + MESSAGE_FRAME_BYTES;
    const settle = Promise.withResolvers<void>();
    this.#waiting.push({ topic, event, payload: json, bytes, settle });
    // What is published in the same moment goes along.
    if (this.#waiting.length === 1) queueMicrotask(() => this.#sendAll());
    return settle.promise;
  }

  #sendAll(): void {
    let batch: Waiting[] = [];
    let bytes = 0;
    for (const message of this.#waiting) {
      const isFull = batch.length === MAX_MESSAGES || bytes + message.bytes > MAX_REQUEST_BYTES;
      if (isFull && batch.length > 0) {
        void this.#send(batch);
        [batch, bytes] = [[], 0];
      }
      batch.push(message);
      bytes += message.bytes;
    }
    this.#waiting = [];
    void this.#send(batch);
  }

  async #send(batch: readonly Waiting[]): Promise<void> {
    const refusal = await this.#post(batch);
    if (refusal === undefined) return batch.forEach(({ settle }) => settle.resolve());
    if (refusal.mayBeOne && batch.length > 1) {
      await Promise.all(batch.map((message) => this.#send([message])));
      return;
    }
    const error = new AgentError("relay_unavailable", "Cannot relay the message: Realtime did not take it", {
      retryable: true,
      cause: refusal.cause,
    });
    for (const { settle } of batch) settle.reject(error);
  }

  /** Undefined if it was accepted. `mayBeOne`: fewer messages, or each by itself, may be accepted. */
  async #post(batch: readonly Waiting[]): Promise<{ cause: Error; mayBeOne: boolean } | undefined> {
    const { secretKey, clock, onPressure } = this.#options;
    try {
      const { path, body } = requestOf(batch);
      const headers = { "apikey": secretKey, "content-type": "application/json" };
      const response = await this.#fetch(this.#url + path, { method: "POST", headers, body });
      const { status } = response;
      const reason = status === 202 ? "" : (await response.text()).slice(0, MAX_REASON_CHARS);
      const mayBeOne = [400, 413, 422].includes(status) ||
        (status === 429 && batch.length > 1 && reason.includes(TOO_MANY_TOGETHER));
      const pressure = readPressure(response, { isRefused: status === 429 && !mayBeOne, nowMs: clock.now() });
      if (pressure !== undefined) onPressure?.(pressure);
      return status === 202 ? undefined : { cause: new Error(`HTTP ${status}: ${reason}`), mayBeOne };
    } catch (error) {
      // Nobody knows whether it was accepted, so it is not sent again.
      const why = error instanceof Error ? error.message : "The request failed";
      return { cause: new Error(why), mayBeOne: false };
    }
  }
}

function requestOf(batch: readonly Waiting[]): { path: string; body: string } {
  const [only] = batch;
  if (batch.length === 1 && only !== undefined) {
    const [topic, event] = [only.topic, only.event].map(encodeURIComponent);
    return { path: `/${topic}/events/${event}?private=true`, body: only.payload };
  }
  // Not JSON.stringify: the payloads are JSON already.
  const messages = batch.map(({ topic, event, payload }) =>
    `{"topic":${JSON.stringify(topic)},"event":${JSON.stringify(event)},"payload":${payload},"private":true}`
  );
  return { path: "", body: `{"messages":[${messages.join()}]}` };
}

/**
 * What the answer says of the rate, by headers that Realtime sends with both 202 and 429 (realtime, rate_limiter.ex);
 * undefined for any other answer: of the rate it says nothing.
 */
function readPressure(
  { status, headers }: Response,
  { isRefused, nowMs }: { isRefused: boolean; nowMs: number },
): RelayPressure | undefined {
  if (status !== 202 && status !== 429) return undefined;
  const [limit, perSecond] = [headers.get("x-rate-limit"), headers.get("x-rate-rolling")].map(readNumber);
  const retryAfterMs = isRefused ? readRetryAfter(headers.get("retry-after"), nowMs) : undefined;
  return {
    isRefused,
    ...(limit !== undefined && perSecond !== undefined && { rate: { limit, perSecond } }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  };
}

function readNumber(text: string | null): number | undefined {
  return text !== null && /^\d+(\.\d+)?$/.test(text) ? Number(text) : undefined;
}

/** Seconds, or a date (RFC 9110, 10.2.3). */
function readRetryAfter(text: string | null, nowMs: number): number | undefined {
  const seconds = readNumber(text);
  if (seconds !== undefined) return seconds * 1000;
  const at = text === null ? NaN : Date.parse(text);
  return Number.isNaN(at) ? undefined : Math.max(0, at - nowMs);
}
