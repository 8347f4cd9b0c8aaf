/**
 * A model provider over real HTTP whose answers a test writes by hand, word by word: it decides when a word comes, and
 * sees when nobody listens any more. What is said is always well-formed, but for `breakOff`.
 */

import { eventually } from "./local_stack.ts";
import { delta, ending } from "./model_stream.ts";

export interface ModelMessage {
  role: string;
  content: string;
}

/** One request of the function, and the answer to it. */
export class Exchange {
  readonly messages: readonly ModelMessage[];
  /** The answer as a stream of server-sent events. */
  readonly body: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** When the function gave the request up, by the clock of `performance.now()`. */
  abortedAt: number | undefined;
  #controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>> | undefined;

  constructor(messages: readonly ModelMessage[]) {
    this.messages = messages;
    this.body = new ReadableStream({
      start: (controller) => void (this.#controller = controller),
      cancel: () => void (this.abortedAt = performance.now()),
    });
  }

  /** What was asked: the user's last message. After it comes the beginning of an answer that was taken over. */
  get question(): string {
    return this.messages.findLast(({ role }) => role === "user")?.content ?? "";
  }

  /** How much the reader is behind: negative when chunks wait to be taken. */
  get appetite(): number {
    return this.#controller?.desiredSize ?? 0;
  }

  /** Sends a piece of the answer. It is lost once the request was aborted. */
  say(text: string): void {
    this.#write(delta(text));
  }

  /** Breaks off in mid-answer: no finish reason, no `[DONE]`. */
  breakOff(): void {
    if (this.abortedAt === undefined) this.#controller?.close();
  }

  /** Ends the answer: finish reason, usage, `[DONE]`. */
  finish(): void {
    this.#write(ending());
    if (this.abortedAt === undefined) this.#controller?.close();
  }

  #write(events: string): void {
    if (this.abortedAt === undefined) this.#controller?.enqueue(new TextEncoder().encode(events));
  }
}

export interface HandModelOptions {
  /** Answers each request; without it they wait for {@linkcode HandModel.next}. */
  respond?(exchange: Exchange): void;
}

export class HandModel implements AsyncDisposable {
  /** Every request that came, oldest first. */
  readonly exchanges: Exchange[] = [];
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  #taken = 0;

  constructor({ respond }: HandModelOptions = {}) {
    this.#server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
      // One that was given up while it came.
      const asked = await request.json().catch(() => undefined);
      if (asked === undefined) return new Response(null, { status: 499 });
      const { messages } = asked;
      const exchange = new Exchange(messages);
      this.exchanges.push(exchange);
      respond?.(exchange);
      return new Response(exchange.body, { headers: { "content-type": "text/event-stream" } });
    });
  }

  /** For `OPENROUTER_BASE_URL`. */
  get baseUrl(): string {
    return `http://127.0.0.1:${this.#server.addr.port}/api/v1`;
  }

  /** The next request that was not returned yet. */
  async next(): Promise<Exchange> {
    const index = this.#taken++;
    return await eventually("a request to the model", () => this.exchanges[index]);
  }

  /** Waits until nobody listens to an answer any more: the function has to end before it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }
}

/** Answers at once with what was asked. */
export function echo(exchange: Exchange): void {
  exchange.say(`You said: ${exchange.question}`);
  exchange.finish();
}
