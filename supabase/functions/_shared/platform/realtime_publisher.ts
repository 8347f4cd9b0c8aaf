/**
 * Broadcasts over HTTP: a function that only sends needs no connection and joins nothing.
 *
 * `httpSend` sends the key as `apikey`; the gateway makes the Bearer token of it (supabase/cli, kong.yml). Facts of
 * supabase-js 2.119.1 that this is built around, read in its source (realtime-js, RealtimeChannel.ts):
 * - a request that fails leaves the timer of its time limit behind, and a 202 its body unread: hence a `fetch` that always
 *   answers, and has read all;
 * - what `removeChannel` sends for a channel that never joined waits for a connection for ever, and the last one sets
 *   timers: hence one channel for each topic, kept.
 */

import { AgentError } from "../errors.ts";
import type { RelayMessage, RelayPressure } from "../ports/relay.ts";
import type { Clock } from "../ports/runtime.ts";
import { encodeRelayPayload } from "../protocol/relay_payload.ts";
import { deadlineFetch, type Fetch } from "./deadline_fetch.ts";
import { type RealtimeJs, realtimeUrl } from "./realtime_connection.ts";

type RealtimeClient = InstanceType<RealtimeJs["RealtimeClient"]>;

/** As many as a connection may have. There are fewer topics, unless a caller invents some. */
const MAX_CHANNELS = 100;
/** Of what Realtime says when it refuses. */
const MAX_REASON_CHARS = 200;

export interface RealtimePublisherOptions {
  supabaseUrl: string;
  secretKey: string;
  clock: Clock;
  /** How long Realtime may take to answer. */
  timeoutMs: number;
  load(): Promise<RealtimeJs>;
  /** Called with the project's message rate that Realtime reports in each answer. Must not throw. */
  onPressure?(pressure: RelayPressure): void;
}

export class RealtimePublisher {
  readonly #options: RealtimePublisherOptions;
  readonly #fetch: Fetch;
  #client: RealtimeClient | undefined;

  constructor(options: RealtimePublisherOptions) {
    this.#options = options;
    const { clock, timeoutMs, onPressure } = options;
    this.#fetch = answeringFetch(deadlineFetch(clock, timeoutMs), (response) => {
      const pressure = onPressure && readPressure(response, clock.now());
      if (pressure !== undefined) onPressure?.(pressure);
    });
  }

  /**
   * Resolves once Realtime has accepted it, which does not prove delivery: an older server also accepts a message to a
   * private topic that the key may not write, and drops it.
   */
  async publish(topic: string, { event, payload }: RelayMessage): Promise<void> {
    encodeRelayPayload(payload);
    try {
      const channel = (await this.#connected()).channel(topic, { config: { private: true } });
      // Its own time limit, which must never come first.
      await channel.httpSend(event, payload, { timeout: this.#options.timeoutMs * 2 });
    } catch (cause) {
      throw new AgentError("relay_unavailable", "Cannot relay the message: Realtime did not take it", {
        retryable: true,
        cause,
      });
    }
  }

  /** A client that never connects has no timers, so that it need not be ended. */
  async #connected(): Promise<RealtimeClient> {
    const { load, supabaseUrl, secretKey } = this.#options;
    const { RealtimeClient } = await load();
    if (this.#client === undefined || this.#client.getChannels().length >= MAX_CHANNELS) {
      this.#client = new RealtimeClient(realtimeUrl(supabaseUrl), {
        params: { apikey: secretKey },
        fetch: this.#fetch,
      });
    }
    return this.#client;
  }
}

/** Turns every failure into a response, with the text to log as the `error` that `httpSend` looks for. */
function answeringFetch(fetch: Fetch, onAnswer: (response: Response) => void): Fetch {
  return async (input, init) => {
    try {
      const response = await fetch(input, init);
      onAnswer(response);
      if (response.status === 202 || response.status === 404) return response;
      const reason = (await response.text()).slice(0, MAX_REASON_CHARS);
      return refusal(`HTTP ${response.status}: ${reason}`);
    } catch (error) {
      return refusal(error instanceof Error ? error.message : "The request failed");
    }
  };
}

function refusal(error: string): Response {
  return Response.json({ error }, { status: 503 });
}

/**
 * What the answer says of the rate, by headers that Realtime sends with both 202 and 429 (realtime, rate_limiter.ex and
 * single_broadcast.ex); undefined for any other answer: of the rate it says nothing.
 */
function readPressure({ status, headers }: Response, nowMs: number): RelayPressure | undefined {
  if (status !== 202 && status !== 429) return undefined;
  const [limit, perSecond] = [headers.get("x-rate-limit"), headers.get("x-rate-rolling")].map(readNumber);
  const retryAfterMs = status === 429 ? readRetryAfter(headers.get("retry-after"), nowMs) : undefined;
  return {
    isRefused: status === 429,
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
