/** One worker's way to a store in memory, which can be cut, slow, lose answers, or do a write after it was given up. */

import { AgentError } from "../../supabase/functions/_shared/errors.ts";
import type {
  Committed,
  LogPage,
  LogRange,
  LogWrite,
} from "../../supabase/functions/_shared/ports/event_log.ts";
import type { Clock } from "../../supabase/functions/_shared/ports/runtime.ts";
import { MemoryStore } from "../../supabase/functions/_shared/session/memory_store.ts";

/** What the way is like at this moment. */
export interface Way {
  /** The store cannot be reached: nothing is done. */
  isCutOff: boolean;
  /** The store does what it is asked, and the answer is lost. */
  losesAnswers: boolean;
  /** So many of the next writes are given up, and done later. */
  lateWrites: number;
  /** How long after it was given up a late write is done, in milliseconds. */
  lateByMs: number;
  /** How long the store takes to answer, in milliseconds. */
  latencyMs: number;
}

export const GOOD_WAY: Readonly<Way> = {
  isCutOff: false,
  losesAnswers: false,
  lateWrites: 0,
  lateByMs: 0,
  latencyMs: 0,
};

export class UnrulyStore extends MemoryStore {
  readonly #inner: MemoryStore;
  readonly #clock: Clock;
  readonly #way: () => Way;
  #before: Promise<unknown> = Promise.resolve();
  #underWay = 0;
  /** Raised when a write is given up: those that wait behind it are given up too. */
  #generation = 0;
  #calls = 0;
  /** The newest call that has reached the store: one made before it is not done any more. */
  #newestDone = 0;
  #late = 0;

  /** `way` is asked at every step, and its `lateWrites` counted down. */
  constructor(inner: MemoryStore, clock: Clock, way: () => Way) {
    super({ clock, maxEvents: 1000 });
    this.#inner = inner;
    this.#clock = clock;
    this.#way = way;
  }

  /** Whether a write was given up, and is still to be done. */
  get hasLateWrites(): boolean {
    return this.#late > 0;
  }

  override create(...args: Parameters<MemoryStore["create"]>): Promise<void> {
    return this.#reach(() => this.#inner.create(...args));
  }

  override find(...args: Parameters<MemoryStore["find"]>): ReturnType<MemoryStore["find"]> {
    return this.#reach(() => this.#inner.find(...args));
  }

  override list(...args: Parameters<MemoryStore["list"]>): ReturnType<MemoryStore["list"]> {
    return this.#reach(() => this.#inner.list(...args));
  }

  override remove(sessionId: string): Promise<void> {
    return this.#reach(() => this.#inner.remove(sessionId));
  }

  override commit(sessionId: string, write: LogWrite): Promise<Committed> {
    return this.#write(() => this.#inner.commit(sessionId, write));
  }

  override read(sessionId: string, range: LogRange): Promise<LogPage> {
    return this.#reach(() => this.#inner.read(sessionId, range));
  }

  override heads(sessionIds: readonly string[]): Promise<ReadonlyMap<string, number>> {
    return this.#reach(() => this.#inner.heads(sessionIds));
  }

  override recordFeedback(
    ...args: Parameters<MemoryStore["recordFeedback"]>
  ): ReturnType<MemoryStore["recordFeedback"]> {
    return this.#reach(() => this.#inner.recordFeedback(...args));
  }

  /** A write waits for the answers to those before it; what only reads may overtake them, and be overtaken. */
  async #write<T>(work: () => Promise<T>): Promise<T> {
    if (this.#way().latencyMs === 0 && this.#underWay === 0) return await this.#numbered(work);
    this.#underWay++;
    const generation = this.#generation;
    const asked = this.#before.then(() => {
      if (generation !== this.#generation) throw unavailable();
      return this.#reach(() => this.#numbered(work), () => this.#generation++);
    }).finally(() => this.#underWay--);
    this.#before = asked.catch(() => {});
    return await asked;
  }

  /** Each write is a call with a number, and of two the store does the earlier one first or not at all. */
  async #numbered<T>(work: () => Promise<T>): Promise<T> {
    const way = this.#way();
    const number = ++this.#calls;
    const call = (): Promise<T> => {
      if (number < this.#newestDone) throw unavailable();
      this.#newestDone = number;
      return work();
    };
    if (way.isCutOff || way.lateWrites === 0) return await this.#ask(call);
    way.lateWrites--;
    this.#late++;
    this.#clock.after(way.lateByMs, () => {
      this.#late--;
      void Promise.try(call).catch(() => {});
    });
    throw unavailable();
  }

  async #reach<T>(work: () => Promise<T>, onGivenUp = (): void => {}): Promise<T> {
    const { latencyMs } = this.#way();
    if (latencyMs === 0) return await this.#ask(work);
    await this.#wait(latencyMs / 2);
    try {
      return await this.#ask(work);
    } catch (error) {
      if (error instanceof AgentError && error.code === "store_unavailable") onGivenUp();
      throw error;
    } finally {
      await this.#wait(latencyMs / 2);
    }
  }

  async #ask<T>(work: () => Promise<T>): Promise<T> {
    const { isCutOff, losesAnswers } = this.#way();
    if (isCutOff) throw unavailable();
    const answer = await work();
    if (losesAnswers) throw unavailable();
    return answer;
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#clock.after(ms, resolve));
  }
}

function unavailable(): AgentError {
  return new AgentError("store_unavailable", "Cannot reach the store", { retryable: true });
}
