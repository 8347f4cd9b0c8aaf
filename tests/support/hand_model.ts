/**
 * A model provider over real HTTP. A test writes its answers word by word, decides when each word is sent, and sees
 * when the client aborts. Every answer is well-formed, except after `breakOff`.
 */

import { type AskedTo, type PromptMessage, readAskedTo } from "../../local/asked_to.ts";
import { eventually } from "./local_stack.ts";
import { delta, ending, sse, thought } from "./model_stream.ts";
import { callDeltas, type CallStyle, type WantedCall } from "./tool_call_streams.ts";

/** One request from the function, and its answer. */
export class Exchange {
  readonly messages: readonly PromptMessage[];
  /** The answer as a stream of server-sent events. */
  readonly body: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** When the function aborted the request, by `performance.now()`. */
  abortedAt: number | undefined;
  #controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>> | undefined;

  constructor(messages: readonly PromptMessage[]) {
    this.messages = messages;
    this.body = new ReadableStream({
      start: (controller) => void (this.#controller = controller),
      cancel: () => void (this.abortedAt = performance.now()),
    });
  }

  /** The user's last message, without what asks to continue an answer. */
  get question(): string {
    const { rest } = readAskedTo(this.messages);
    return rest.findLast(({ role }) => role === "user")?.content ?? "";
  }

  /** Whether a worker continues another worker's answer. */
  get asked(): AskedTo {
    return readAskedTo(this.messages).asked;
  }

  /** The stream's `desiredSize`: negative when chunks wait to be read. */
  get appetite(): number {
    return this.#controller?.desiredSize ?? 0;
  }

  /** Sends a piece of the answer. It is dropped if the request was aborted. */
  say(text: string): void {
    this.#write(delta(text));
  }

  /** Sends a piece of reasoning. */
  think(text: string): void {
    this.#write(thought(text));
  }

  /** Ends the stream in mid-answer: no finish reason, no `[DONE]`. */
  breakOff(): void {
    if (this.abortedAt === undefined) this.#controller?.close();
  }

  /** Calls tools, as a server of this style does. `finish("tool_calls")` comes behind it. */
  call(calls: readonly WantedCall[], style: CallStyle = "OpenAI"): void {
    for (const fields of callDeltas(style, calls)) {
      this.#write(sse({ model: "test/model", choices: [{ index: 0, delta: fields, finish_reason: null }] }));
    }
  }

  /** Ends the answer: finish reason, usage, `[DONE]`. */
  finish(reason = "stop"): void {
    this.#write(ending(reason));
    if (this.abortedAt === undefined) this.#controller?.close();
  }

  #write(events: string): void {
    if (this.abortedAt === undefined) this.#controller?.enqueue(new TextEncoder().encode(events));
  }
}

export interface HandModelOptions {
  /** Answers each request. Without it, requests wait for {@linkcode HandModel.next}. */
  respond?(exchange: Exchange): void;
}

export class HandModel implements AsyncDisposable {
  /** Every request received, oldest first. */
  readonly exchanges: Exchange[] = [];
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  #taken = 0;

  constructor({ respond }: HandModelOptions = {}) {
    this.#server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
      // The request was aborted while its body was being read.
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

  /** The next request that was not returned before. Fails if it does not come in time. */
  async next({ withinMs }: { withinMs?: number } = {}): Promise<Exchange> {
    const index = this.#taken++;
    return await eventually("a request to the model", () => this.exchanges[index], withinMs);
  }

  /** Waits until every answer has ended or was aborted. The function must be stopped first. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }
}

/** Answers at once with the question. */
export function echo(exchange: Exchange): void {
  exchange.say(`You said: ${exchange.question}`);
  exchange.finish();
}
