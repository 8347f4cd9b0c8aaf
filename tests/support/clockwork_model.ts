/** A model provider whose answers say when each of their words was said. */

import { HandModel } from "./hand_model.ts";

/** Digits of a word, which is the time since `startedAt` in milliseconds. */
const DIGITS = 6;

export interface ClockworkOptions {
  /** Words of each answer, and how many of them in a second. */
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

  /** How old each word of an answer was at `at`, by the clock of `performance.now()`. `offset` is where `text` begins. */
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
