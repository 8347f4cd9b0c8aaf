/**
 * One worker's connection to a store in memory. It can be cut, slow, lose answers, or execute a write after the caller
 * gave up.
 */

import { AgentError } from "../../supabase/functions/_shared/errors.ts";
import type {
  Committed,
  LogPage,
  LogRange,
  LogWrite,
  VisiblePage,
} from "../../supabase/functions/_shared/ports/event_log.ts";
import type { Clock } from "../../supabase/functions/_shared/ports/runtime.ts";
import { MemoryStore } from "../../supabase/functions/_shared/session/memory_store.ts";

/** The current state of the connection. */
export interface Way {
  /** The store cannot be reached: nothing is done. */
  isCutOff: boolean;
  /** The store does what it is asked, but the answer is lost. */
  losesAnswers: boolean;
  /** The number of following writes that fail for the caller and are executed later. */
  lateWrites: number;
  /** The delay of a late write after it failed, in milliseconds. */
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
  /** Incremented when a write fails for the caller. The writes queued behind it then fail too. */
  #generation = 0;
  #calls = 0;
  /** The newest call that has reached the store. An older call is no longer executed. */
  #newestDone = 0;
  #late = 0;

  /** `way` is read at every step, and its `lateWrites` is decremented. */
  constructor(inner: MemoryStore, clock: Clock, way: () => Way) {
    super({ clock, maxEvents: 1000 });
    this.#inner = inner;
    this.#clock = clock;
    this.#way = way;
  }

  /** Whether a failed write is still to be executed. */
  get hasLateWrites(): boolean {
    return this.#late > 0;
  }

  override create(...args: Parameters<MemoryStore["create"]>): Promise<void> {
    return this.#reach(() => this.#inner.create(...args));
  }

  override find(...args: Parameters<MemoryStore["find"]>): ReturnType<MemoryStore["find"]> {
    return this.#reach(() => this.#inner.find(...args));
  }

  override findByChat(
    ...args: Parameters<MemoryStore["findByChat"]>
  ): ReturnType<MemoryStore["findByChat"]> {
    return this.#reach(() => this.#inner.findByChat(...args));
  }

  override list(...args: Parameters<MemoryStore["list"]>): ReturnType<MemoryStore["list"]> {
    return this.#reach(() => this.#inner.list(...args));
  }

  override rename(...args: Parameters<MemoryStore["rename"]>): Promise<void> {
    return this.#reach(() => this.#inner.rename(...args));
  }

  override suggestTitle(...args: Parameters<MemoryStore["suggestTitle"]>): Promise<void> {
    return this.#reach(() => this.#inner.suggestTitle(...args));
  }

  override setArchived(...args: Parameters<MemoryStore["setArchived"]>): Promise<void> {
    return this.#reach(() => this.#inner.setArchived(...args));
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

  override readVisible(...args: Parameters<MemoryStore["readVisible"]>): Promise<VisiblePage> {
    return this.#reach(() => this.#inner.readVisible(...args));
  }

  override heads(sessionIds: readonly string[]): Promise<ReadonlyMap<string, number>> {
    return this.#reach(() => this.#inner.heads(sessionIds));
  }

  override recordFeedback(
    ...args: Parameters<MemoryStore["recordFeedback"]>
  ): ReturnType<MemoryStore["recordFeedback"]> {
    return this.#reach(() => this.#inner.recordFeedback(...args));
  }

  /** A write waits for the answers to earlier writes. Reads may overtake writes, and be overtaken. */
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

  /** Each write has a number. Of two writes the store executes the older one first or not at all. */
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
