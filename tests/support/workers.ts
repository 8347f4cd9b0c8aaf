/** Several workers on one store, in one process and by one clock: what one does the others hear over a relay by hand. */

import { MemoryStore } from "../../supabase/functions/_shared/session/memory_store.ts";
import type { SessionCall } from "../../supabase/functions/_shared/protocol/session_call.ts";
import type { Committed, LogPage, LogRange, LogWrite } from "../../supabase/functions/_shared/ports.ts";
import { AgentError } from "../../supabase/functions/_shared/errors.ts";
import type { ContinuePolicy } from "../../supabase/functions/_shared/config.ts";
import { type AgentOptions, CountedIds, startAgent, type TestAgent } from "./agent_harness.ts";
import { ManualClock, settle } from "./manual_clock.ts";

/** The default of `TURN_LEASE_MS`. */
export const LEASE_MS = 5000;

export interface TestWorker extends TestAgent {
  name: string;
  /** Cuts it off from the store, the relay and the model's answers; nothing tells the others. */
  kill(): void;
  /** While set, the store cannot be reached from here. */
  isCutOff: boolean;
  /** While set, the store does what it is asked, and the answer is lost. */
  losesAnswers: boolean;
  /** How long the store takes to answer, in milliseconds. */
  latencyMs: number;
}

export interface Workers {
  clock: ManualClock;
  /** As an operator sees it. */
  store: MemoryStore;
  /** Whether calls between the workers arrive. */
  isRelayUp: boolean;
  start(name: string, limits?: Pick<AgentOptions, "maxSessions" | "maxMemoryBytes">): TestWorker;
  /** Time passes, and what can go on then does. */
  pass(ms: number): Promise<void>;
}

/** What a worker's way to the store is like at this moment. */
interface Way {
  isCut: boolean;
  losesAnswers: boolean;
  latencyMs: number;
}

/** A worker's way to the store, which can be cut. */
class CutStore extends MemoryStore {
  readonly #inner: MemoryStore;
  readonly #clock: ManualClock;
  readonly #way: () => Way;
  #before: Promise<unknown> = Promise.resolve();
  #underWay = 0;

  constructor(inner: MemoryStore, clock: ManualClock, way: () => Way) {
    super({ clock, maxEvents: 1000 });
    this.#inner = inner;
    this.#clock = clock;
    this.#way = way;
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
    if (this.#way().latencyMs === 0 && this.#underWay === 0) return await this.#ask(work);
    this.#underWay++;
    const asked = this.#before.then(() => this.#reach(work)).finally(() => this.#underWay--);
    this.#before = asked.catch(() => {});
    return await asked;
  }

  async #reach<T>(work: () => Promise<T>): Promise<T> {
    const { latencyMs } = this.#way();
    if (latencyMs === 0) return await this.#ask(work);
    await this.#wait(latencyMs / 2);
    try {
      return await this.#ask(work);
    } finally {
      await this.#wait(latencyMs / 2);
    }
  }

  async #ask<T>(work: () => Promise<T>): Promise<T> {
    const { isCut, losesAnswers } = this.#way();
    const lost = new AgentError("store_unavailable", "Cannot reach the store", { retryable: true });
    if (isCut) throw lost;
    const answer = await work();
    if (losesAnswers) throw lost;
    return answer;
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#clock.after(ms, resolve));
  }
}

export function startWorkers(options: { policy?: ContinuePolicy; maxEvents?: number } = {}): Workers {
  const clock = new ManualClock();
  const store = new MemoryStore({ clock, maxEvents: options.maxEvents ?? 1000, leaseMs: LEASE_MS });
  const ids = new CountedIds();
  const alive = new Map<string, TestWorker>();
  const workers: Workers = {
    clock,
    store,
    isRelayUp: true,
    start(name, limits = {}): TestWorker {
      const call = (sessionId: string, message: SessionCall): void => {
        if (!alive.has(name) || !workers.isRelayUp) return;
        for (const [other, { server }] of alive) {
          if (other !== name) queueMicrotask(() => server.receive(sessionId, structuredClone(message)));
        }
      };
      const reach = new CutStore(
        store.forWorker(name),
        clock,
        () => ({ ...worker, isCut: worker.isCutOff || !alive.has(name) }),
      );
      const agent = startAgent({
        ...limits,
        store: reach,
        clock,
        ids,
        call,
        isDurable: true,
        settings: { continuePolicy: options.policy ?? "continue" },
      });
      const worker: TestWorker = Object.assign(agent, {
        name,
        isCutOff: false,
        losesAnswers: false,
        latencyMs: 0,
        kill: (): void => void alive.delete(name),
      });
      alive.set(name, worker);
      return worker;
    },
    async pass(ms: number): Promise<void> {
      clock.advance(ms);
      await settle();
    },
  };
  return workers;
}
