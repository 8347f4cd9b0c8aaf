/**
 * Many writes, one call: what is waiting goes together, and while it is on its way the next batch gathers.
 */

import { AgentError } from "../errors.ts";
import type { Clock } from "../ports.ts";
import { RefusedCall, storeUnavailable } from "./store_rpc.ts";

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
  send(batch: readonly Pending<W>[], withinMs: number): Promise<readonly A[]>;
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
}

export class GroupCommit<W, A> {
  readonly #options: GroupCommitOptions<W, A>;
  #waiting: Waiting<W, A>[] = [];
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
    if (this.#waiting.length > 0 && this.#waitingChars + pending.chars > maxWaitingChars) {
      return Promise.reject(storeUnavailable(new Error("Too much is waiting for the database")));
    }
    const settle = Promise.withResolvers<A>();
    this.#waiting.push({ ...pending, at: clock.now(), settle });
    this.#waitingChars += pending.chars;
    if (!this.#isSending) {
      this.#isSending = true;
      // What is written in the same moment goes along.
      queueMicrotask(() => void this.#sendAll());
    }
    return settle.promise;
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
      if (length === maxBatch || (length > 0 && chars + pending.chars > maxBatchChars)) break;
      chars += pending.chars;
      length++;
    }
    this.#waitingChars -= chars;
    return this.#waiting.splice(0, length);
  }

  async #sendBatch(batch: readonly Waiting<W, A>[]): Promise<void> {
    const { clock, send, withinMs } = this.#options;
    const oldest = batch[0]?.at ?? 0;
    try {
      const answers = await send(batch, oldest + withinMs - clock.now());
      batch.forEach(({ settle }, index) => {
        const answer = answers[index];
        if (answer === undefined) settle.reject(storeUnavailable(new Error("An answer is missing")));
        else settle.resolve(answer);
      });
    } catch (error) {
      if (!(error instanceof RefusedCall)) this.#giveUp(batch, error);
      else if (batch.length === 1) batch[0]?.settle.reject(refused(error));
      // Which one it was nobody said, and the others are not to suffer for it.
      else for (const pending of batch) await this.#sendBatch([pending]);
    }
  }

  #giveUp(batch: readonly Waiting<W, A>[], error: unknown): void {
    const sessions = new Set(batch.map(({ sessionId }) => sessionId));
    const after = this.#waiting.filter(({ sessionId }) => sessions.has(sessionId));
    if (after.length > 0) {
      this.#waiting = this.#waiting.filter(({ sessionId }) => !sessions.has(sessionId));
      this.#waitingChars -= after.reduce((sum, { chars }) => sum + chars, 0);
    }
    for (const { settle } of [...batch, ...after]) settle.reject(error);
  }
}

function refused(cause: RefusedCall): AgentError {
  return new AgentError("internal", "Cannot write to the session: the database refused it", { cause });
}
