/**
 * Many writes, one call: what is waiting goes together, and while it is on its way the next batch gathers.
 *
 * A session's writes keep their order whatever becomes of them: all that are not on their way are in one list, or in the
 * list of those whose session is locked, and a session is in one of the two only.
 */

import { AgentError } from "../errors.ts";
import type { Clock } from "../ports/runtime.ts";
import { RefusedCall, storeUnavailable } from "./store_rpc.ts";

/** The answer to a write that was not done as its session was locked, nor any later one of that session in the batch. */
export const LOCKED = Symbol("locked");

/** A session that is locked is tried again after this time, and each time after twice as long, up to the other. */
const FIRST_RETRY_MS = 100;
const MAX_RETRY_MS = 1000;

/** A write on its way. */
export interface Pending<W> {
  sessionId: string;
  write: W;
  /** About how long its JSON is. */
  chars: number;
}

export interface GroupCommitOptions<W, A> {
  clock: Clock;
  /**
   * Sends a batch as one call, tried again until about `withinMs` from now. Resolves to one answer a write, in order.
   * Rejects with {@linkcode RefusedCall} where nothing of it was done, or with an AgentError where that is not known.
   */
  send(batch: readonly Pending<W>[], withinMs: number): Promise<readonly (A | typeof LOCKED)[]>;
  /** How long a write may take, its waiting included. */
  withinMs: number;
  /** Writes of a batch. */
  maxBatch: number;
  /** Characters of a batch; one write alone may have more. */
  maxBatchChars: number;
  /** Characters that may wait beside those on their way; past it writes are refused at once. */
  maxWaitingChars: number;
}

interface Waiting<W, A> extends Pending<W> {
  at: number;
  settle: PromiseWithResolvers<A>;
  /** It was in a batch that was refused without naming the failing write, so it is sent alone. */
  isAlone: boolean;
  /** When to try it again after a lock. */
  retryMs: number;
}

export class GroupCommit<W, A> {
  readonly #options: GroupCommitOptions<W, A>;
  #waiting: Waiting<W, A>[] = [];
  /** By session that is locked, all its writes. Made with the first. */
  #locked: Map<string, Waiting<W, A>[]> | undefined;
  /** Of all that wait. */
  #waitingChars = 0;
  #isSending = false;

  constructor(options: GroupCommitOptions<W, A>) {
    this.#options = options;
  }

  /**
   * Resolves to the write's own answer. Rejects with `store_unavailable` where it was given up, or came after one to the
   * same session that was: nothing may overtake what may be lost. Rejects with `internal` where the database refuses it.
   */
  commit(pending: Pending<W>): Promise<A> {
    const { clock, maxWaitingChars } = this.#options;
    if (this.#waitingChars > 0 && this.#waitingChars + pending.chars > maxWaitingChars) {
      return Promise.reject(storeUnavailable(new Error("Too much is waiting for the database")));
    }
    const settle = Promise.withResolvers<A>();
    const waiting = { ...pending, at: clock.now(), settle, isAlone: false, retryMs: FIRST_RETRY_MS };
    this.#waitingChars += pending.chars;
    const locked = this.#locked?.get(pending.sessionId);
    if (locked !== undefined) locked.push(waiting);
    else this.#wait([waiting]);
    return settle.promise;
  }

  #wait(writes: readonly Waiting<W, A>[]): void {
    this.#waiting.push(...writes);
    if (this.#isSending) return;
    this.#isSending = true;
    // What is written in the same moment goes along.
    queueMicrotask(() => void this.#sendAll());
  }

  async #sendAll(): Promise<void> {
    while (this.#waiting.length > 0) await this.#sendBatch(this.#takeBatch());
    this.#isSending = false;
  }

  #takeBatch(): Waiting<W, A>[] {
    const { maxBatch, maxBatchChars } = this.#options;
    let chars = 0;
    let length = 0;
    for (const pending of this.#waiting) {
      const isFull = length === maxBatch || chars + pending.chars > maxBatchChars || pending.isAlone;
      if (length > 0 && isFull) break;
      chars += pending.chars;
      length++;
      if (pending.isAlone) break;
    }
    this.#waitingChars -= chars;
    return this.#waiting.splice(0, length);
  }

  async #sendBatch(batch: readonly Waiting<W, A>[]): Promise<void> {
    const { clock, send, withinMs } = this.#options;
    const oldest = batch[0]?.at ?? 0;
    try {
      const answers = await send(batch, oldest + withinMs - clock.now());
      this.#settle(batch, answers);
    } catch (error) {
      if (!(error instanceof RefusedCall)) this.#giveUp(batch, error);
      else if (batch.length === 1) batch[0]?.settle.reject(refused(error));
      // The refusal does not name the failing write, and the others must not fail with it: send each alone, before all that came
      // after it.
      else this.#putBack(batch.map((pending) => ({ ...pending, isAlone: true })));
    }
  }

  #settle(batch: readonly Waiting<W, A>[], answers: readonly (A | typeof LOCKED)[]): void {
    const locked: Waiting<W, A>[] = [];
    batch.forEach((pending, index) => {
      const answer = answers[index];
      if (answer === LOCKED) locked.push(pending);
      else if (answer === undefined) {
        pending.settle.reject(storeUnavailable(new Error("An answer is missing")));
      } else pending.settle.resolve(answer);
    });
    if (locked.length === 0) return;
    this.#putBack(locked);
    for (const sessionId of new Set(locked.map(({ sessionId }) => sessionId))) this.#setAside(sessionId);
  }

  /** All writes of a session that is locked wait by themselves, until it is tried again or their time is over. */
  #setAside(sessionId: string): void {
    const { clock, withinMs } = this.#options;
    const isIts = (pending: Waiting<W, A>): boolean => pending.sessionId === sessionId;
    const [first, ...others] = this.#waiting.filter(isIts);
    if (first === undefined) return;
    this.#waiting = this.#waiting.filter((pending) => !isIts(pending));
    const writes = [{ ...first, retryMs: Math.min(2 * first.retryMs, MAX_RETRY_MS) }, ...others];
    (this.#locked ??= new Map()).set(sessionId, writes);
    clock.after(Math.max(0, Math.min(first.retryMs, first.at + withinMs - clock.now())), () => {
      this.#locked?.delete(sessionId);
      if (clock.now() < first.at + withinMs) return this.#wait(writes);
      this.#reject(writes, storeUnavailable(new Error("Somebody holds the session's rows locked")));
    });
  }

  /** Before all that waits. */
  #putBack(batch: readonly Waiting<W, A>[]): void {
    this.#waiting.unshift(...batch);
    this.#waitingChars += batch.reduce((sum, { chars }) => sum + chars, 0);
  }

  #giveUp(batch: readonly Waiting<W, A>[], error: unknown): void {
    const sessions = new Set(batch.map(({ sessionId }) => sessionId));
    const after = this.#waiting.filter(({ sessionId }) => sessions.has(sessionId));
    this.#waiting = this.#waiting.filter(({ sessionId }) => !sessions.has(sessionId));
    for (const { settle } of batch) settle.reject(error);
    this.#reject(after, error);
  }

  #reject(writes: readonly Waiting<W, A>[], error: unknown): void {
    for (const { chars, settle } of writes) {
      this.#waitingChars -= chars;
      settle.reject(error);
    }
  }
}

function refused(cause: RefusedCall): AgentError {
  return new AgentError("internal", "Cannot write to the session: the database refused it", { cause });
}
