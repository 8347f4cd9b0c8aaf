/** A provider behind a fake `fetch` that counts tokens for itself: what a bill would say. */

import { sse } from "./model_stream.ts";

/** A token of text. */
export const TOKEN = "abc ";

/** How the provider answers a request that does not get a stream. */
export type Refusal =
  /** Not reached at all. */
  | "no connection"
  /** It has read the request, and may have worked on it. */
  | "reset"
  | 500
  | 429;

/** One request that got a stream. */
export class CountedAnswer {
  readonly promptTokens: number;
  readonly maxTokens: number;
  readonly body: ReadableStream<Uint8Array<ArrayBuffer>>;
  tokens = 0;
  isOpen = true;
  #controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>> | undefined;

  constructor(promptTokens: number, maxTokens: number) {
    this.promptTokens = promptTokens;
    this.maxTokens = maxTokens;
    this.body = new ReadableStream<Uint8Array<ArrayBuffer>>({
      start: (controller) => void (this.#controller = controller),
      cancel: () => this.stop(),
    });
  }

  /** Writes so many tokens, as long as it may. */
  say(tokens: number): void {
    if (!this.isOpen) return;
    const count = Math.min(tokens, this.maxTokens - this.tokens);
    this.tokens += count;
    if (count > 0) this.#write({ choices: [{ index: 0, delta: { content: TOKEN.repeat(count) } }] });
    if (this.tokens === this.maxTokens) this.finish({ reason: "length", reports: true });
  }

  finish({ reason = "stop", reports }: { reason?: string; reports: boolean }): void {
    if (!this.isOpen) return;
    this.#write({ choices: [{ index: 0, delta: {}, finish_reason: reason }] });
    const { promptTokens: prompt, tokens } = this;
    const usage = { prompt_tokens: prompt, completion_tokens: tokens, total_tokens: prompt + tokens };
    if (reports) this.#write({ choices: [], usage });
    this.#write("[DONE]");
    this.#controller?.close();
    this.stop();
  }

  /** The connection breaks off. */
  cut(): void {
    if (this.isOpen) this.#controller?.error(new TypeError("connection reset"));
    this.stop();
  }

  stop(): void {
    this.isOpen = false;
  }

  #write(event: unknown): void {
    this.#controller?.enqueue(new TextEncoder().encode(sse(event)));
  }
}

export class CountingProvider {
  /** Every request that got a stream. */
  readonly answers: CountedAnswer[] = [];
  /** How the next requests are refused. */
  readonly refusals: Refusal[] = [];
  /** Of requests that got none, but were worked on. */
  #wasted = 0;
  largestPrompt = 0;

  /** All tokens that it has counted. */
  get total(): number {
    return this.answers.reduce((sum, { promptTokens, tokens }) => sum + promptTokens + tokens, this.#wasted);
  }

  get open(): CountedAnswer[] {
    return this.answers.filter(({ isOpen }) => isOpen);
  }

  readonly fetch: typeof fetch = (_url, init) => {
    const { messages, max_tokens } = JSON.parse(String(init?.body));
    const chars = (messages as { content: string }[]).reduce((sum, { content }) => sum + content.length, 0);
    const prompt = Math.ceil(chars / TOKEN.length);
    const refusal = this.refusals.shift();
    if (refusal === "no connection") {
      return Promise.reject(
        new TypeError("error sending request: client error (Connect): tcp connect error"),
      );
    }
    if (refusal === 429) return Promise.resolve(new Response("slow down", { status: 429 }));
    this.largestPrompt = Math.max(this.largestPrompt, prompt);
    if (refusal === "reset" || refusal === 500) {
      this.#wasted += prompt;
      return refusal === 500 ? Promise.resolve(new Response("oh", { status: 500 })) : Promise.reject(
        new TypeError("client error (SendRequest): connection closed before message completed"),
      );
    }
    const answer = new CountedAnswer(prompt, max_tokens);
    this.answers.push(answer);
    // As in Deno: an abort also breaks the body off.
    init?.signal?.addEventListener("abort", () => answer.cut());
    return Promise.resolve(
      new Response(answer.body, { headers: { "content-type": "text/event-stream" } }),
    );
  };
}
