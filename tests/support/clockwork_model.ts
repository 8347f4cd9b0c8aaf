/** A model provider whose answers contain the time at which each word was sent. */

import { HandModel } from "./hand_model.ts";

/** Digits in a word. A word is the time since `startedAt` in milliseconds. */
const DIGITS = 6;

export interface ClockworkOptions {
  /** Words in each answer, and the number of words sent per second. */
  words: number;
  perSecond: number;
}

export class ClockworkModel implements AsyncDisposable {
  readonly #model: HandModel;
  readonly #startedAt = performance.now();
  readonly #timers = new Set<ReturnType<typeof setInterval>>();

  constructor({ words, perSecond }: ClockworkOptions) {
    this.#model = new HandModel({
      respond: (exchange) => {
        let said = 0;
        const timer = setInterval(() => {
          exchange.say(String(Math.round(this.#now)).padStart(DIGITS, "0"));
          if (++said < words) return;
          exchange.finish();
          this.#timers.delete(timer);
          clearInterval(timer);
        }, 1000 / perSecond);
        this.#timers.add(timer);
      },
    });
  }

  get baseUrl(): string {
    return this.#model.baseUrl;
  }

  /** The age of each word of `text` at `at` (by `performance.now()`). `offset` is where `text` begins in the answer. */
  ages(text: string, { offset, at }: { offset: number; at: number }): number[] {
    const ages: number[] = [];
    for (let end = Math.ceil((offset + 1) / DIGITS) * DIGITS; end <= offset + text.length; end += DIGITS) {
      const start = end - DIGITS - offset;
      if (start >= 0) ages.push(at - this.#startedAt - Number(text.slice(start, start + DIGITS)));
    }
    return ages;
  }

  get #now(): number {
    return performance.now() - this.#startedAt;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    await this.#model[Symbol.asyncDispose]();
  }
}
