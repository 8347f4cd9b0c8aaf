/** A provider behind a fake `fetch`: answers are queued, the test writes the streams, there is no network. */

import {
  createOpenRouter,
  type OpenRouterOptions,
} from "../../../supabase/functions/_shared/openrouter/open_router.ts";
import type {
  LanguageModel,
  ModelReply,
  ModelRequest,
} from "../../../supabase/functions/_shared/ports/model.ts";
import type { LogEntry } from "../../../supabase/functions/_shared/ports/runtime.ts";
import { ManualClock } from "../../support/manual_clock.ts";

export interface FakeRequest {
  url: string;
  headers: Headers;
  body: unknown;
  signal: AbortSignal;
}

type Answer = (signal: AbortSignal) => Promise<Response>;

export class FakeProvider {
  readonly clock = new ManualClock();
  readonly requests: FakeRequest[] = [];
  readonly log: LogEntry[] = [];
  readonly #answers: Answer[] = [];

  /** The next request gets this response. */
  respond(status: number, body: string | null, headers: Record<string, string> = {}): void {
    this.#answers.push(() => Promise.resolve(new Response(body, { status, headers })));
  }

  /** The next request gets no response. */
  refuse(error: Error): void {
    this.#answers.push(() => Promise.reject(error));
  }

  /** The next request waits for a response until it is aborted. */
  keepWaiting(): void {
    this.#answers.push((signal) =>
      new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)))
    );
  }

  /** The next request gets a whole stream, one read for each piece. */
  stream(...pieces: (string | Uint8Array<ArrayBuffer>)[]): void {
    const stream = this.openStream();
    for (const piece of pieces) stream.write(piece);
    stream.end();
  }

  /** The next request gets a stream that the test writes. By default it is a byte stream like Deno's. */
  openStream(
    { type = "bytes", status = 200, headers = { "content-type": "text/event-stream" } }: FakeStreamOptions =
      {},
  ): FakeStream {
    const stream = new FakeStream(type);
    this.#answers.push((signal) => {
      // As in Deno: an abort also breaks the body off.
      signal.addEventListener("abort", () => stream.fail(signal.reason));
      return Promise.resolve(new Response(stream.body, { status, headers }));
    });
    return stream;
  }

  /** The model that uses this provider: no retries and no time limits except those given. */
  model(options: Partial<OpenRouterOptions> = {}): LanguageModel {
    return createOpenRouter({
      baseUrl: "https://provider.test/api/v1",
      apiKey: "sk-or-v1-0123456789abcdef",
      maxRetries: 0,
      firstTokenTimeoutMs: 0,
      stallTimeoutMs: 0,
      prefillModels: [],
      clock: this.clock,
      random: () => 0,
      log: { write: (entry) => this.log.push(entry) },
      fetch: this.#fetch,
      ...options,
    });
  }

  readonly #fetch = (url: string | URL | Request, init: RequestInit = {}): Promise<Response> => {
    const { headers, body, signal } = init;
    if (!signal) throw new Error("Cannot answer: the request has no signal");
    const text = typeof body === "string" ? body : "null";
    this.requests.push({ url: String(url), headers: new Headers(headers), body: JSON.parse(text), signal });
    const answer = this.#answers.shift();
    if (answer === undefined) throw new Error("Cannot answer: the test expects no further request");
    return signal.aborted ? Promise.reject(signal.reason) : answer(signal);
  };
}

interface FakeStreamOptions {
  type?: "bytes" | "chunks";
  status?: number;
  headers?: Record<string, string>;
}

type StreamController =
  | ReadableByteStreamController
  | ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>;

/** The body of a response; each write is one read. */
export class FakeStream {
  readonly body: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** Whether the reader has cancelled it. */
  cancelled = false;
  #controller: StreamController | undefined;
  #open = true;

  constructor(type: "bytes" | "chunks") {
    const start = (controller: StreamController): void => void (this.#controller = controller);
    const cancel = (): void => {
      this.cancelled = true;
      this.#open = false;
    };
    this.body = type === "bytes"
      ? new ReadableStream({ type, start, cancel })
      : new ReadableStream<Uint8Array<ArrayBuffer>>({ start, cancel });
  }

  write(piece: string | Uint8Array<ArrayBuffer>): void {
    if (!this.#open) return;
    this.#controller?.enqueue(typeof piece === "string" ? new TextEncoder().encode(piece) : piece);
  }

  /** Whether there is written data that has not been read. */
  get hasUnread(): boolean {
    // A stream of bytes has a high-water mark of 0, any other of 1.
    const { desiredSize } = this.#controller ?? {};
    return typeof desiredSize === "number" && desiredSize < 0;
  }

  end(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#controller?.close();
  }

  fail(reason: unknown): void {
    if (!this.#open) return;
    this.#open = false;
    this.#controller?.error(reason);
  }
}

/** The request of tests in which its content does not matter. */
export const QUESTION: ModelRequest = {
  messages: [{ role: "user", content: "Hello?" }],
  partial: "",
  models: ["test/model"],
  temperature: 0.7,
  maxTokens: 100,
};

/** A running reply, and its result. */
export class Asked {
  readonly pieces: string[] = [];
  readonly thoughts: string[] = [];
  /** How many pieces came before each new beginning. */
  readonly restarts: number[] = [];
  readonly abort = new AbortController();
  readonly reply: Promise<ModelReply>;
  #ended = false;

  constructor(model: LanguageModel, request: ModelRequest = QUESTION) {
    this.reply = model.reply(request, {
      onText: (text) => void this.pieces.push(text),
      onReasoning: (text) => void this.thoughts.push(text),
      onRestart: () => void this.restarts.push(this.pieces.length),
      signal: this.abort.signal,
    });
    const end = (): void => void (this.#ended = true);
    this.reply.then(end, end);
  }

  /** Whether the reply has resolved or rejected. */
  get ended(): boolean {
    return this.#ended;
  }

  get text(): string {
    return this.pieces.join("");
  }
}
