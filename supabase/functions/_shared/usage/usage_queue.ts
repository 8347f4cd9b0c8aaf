/**
 * What a worker's requests to the provider did, on its way to the ledger: many changes, one call. Without a budget nobody waits for it.
 * What cannot be booked is tried again; above a limit the oldest rows are lost, and the log says so.
 */

import { AgentError, toAgentError } from "../errors.ts";
import type { CancelTimer, Clock, Log, WorkerLifetime } from "../ports/runtime.ts";
import type { AttemptLedger, AttemptRow, Correction, Reservation, UsageAnswer } from "../ports/usage.ts";
import { settledWithin } from "../settled_within.ts";

/** How long rows wait for others that may go along. */
export const FLUSH_MS = 3000;
/** The same for what still runs: an answer that is shorter takes no call of its own. */
export const OPEN_MS = 10_000;
/** How soon a change is sent again that was not booked. */
const RETRY_MS = 5000;
/** Rows of one call, and as many of everything else. */
const MAX_BATCH = 200;
export const MAX_WAITING_ROWS = 2000;
/** How long a worker that ends waits for its last rows. */
const CLOSE_MS = 2000;

export interface UsageQueueOptions {
  clock: Clock;
  log: Log;
  lifetime: WorkerLifetime;
  /** Where it goes now. Undefined where nothing is kept. */
  ledger(): AttemptLedger | undefined;
  /** Called with each answer, and with the quotas that the change was about. */
  onAnswer(answer: UsageAnswer, quotaKeys: ReadonlySet<string>): void;
}

interface WaitingReservation extends Reservation {
  settle: PromiseWithResolvers<number>;
}

interface Batch {
  rows: readonly AttemptRow[];
  unsent: readonly string[];
  corrections: readonly Correction[];
  reservations: readonly WaitingReservation[];
}

export class UsageQueue {
  readonly #options: UsageQueueOptions;
  /** By id, the oldest first. */
  readonly #rows = new Map<string, AttemptRow>();
  readonly #unsent = new Set<string>();
  readonly #corrections = new Map<string, Correction>();
  readonly #reservations: WaitingReservation[] = [];
  /** Rows that had no room, since the log last said so. */
  #dropped = 0;
  #sending: Promise<boolean> | undefined;
  #dueAt = Infinity;
  #cancelTimer: CancelTimer | undefined;
  /** Lets the worker go; set while something waits. */
  #release: (() => void) | undefined;

  constructor(options: UsageQueueOptions) {
    this.#options = options;
  }

  /** Books the newest state of a request, within `inMs` milliseconds. */
  save(row: AttemptRow, inMs: number = FLUSH_MS): void {
    if (this.#options.ledger() === undefined) return;
    this.#rows.set(row.id, row);
    const [oldest = ""] = this.#rows.keys();
    if (this.#rows.size > MAX_WAITING_ROWS) {
      this.#rows.delete(oldest);
      this.#dropped++;
    }
    this.#due(inMs);
  }

  /** A reserved request was never sent. */
  forget(id: string): void {
    this.#rows.delete(id);
    this.#unsent.add(id);
    this.#due(0);
  }

  correct(correction: Correction): void {
    if (this.#options.ledger() === undefined) return;
    this.#corrections.set(correction.id, correction);
    this.#due(FLUSH_MS);
  }

  /**
   * Resolves to how many tokens the answer of a request may have. Rejects with `budget_exceeded`, or as the ledger does. What waits
   * to be booked is booked first.
   */
  reserve(reservation: Reservation): Promise<number> {
    const settle = Promise.withResolvers<number>();
    this.#reservations.push({ ...reservation, settle });
    this.#due(0);
    return settle.promise;
  }

  /** Sends what waits, as the worker is ending. */
  async close(): Promise<void> {
    const { clock } = this.#options;
    await settledWithin(clock, CLOSE_MS, this.#sendAll());
    if (this.#rows.size > 0) this.#reportLost(this.#rows.size, "the worker ended");
    this.#cancelTimer?.();
  }

  async #sendAll(): Promise<void> {
    while (this.#isWaiting || this.#sending !== undefined) if (!await this.#send()) return;
  }

  get #isWaiting(): boolean {
    return this.#rows.size + this.#unsent.size + this.#corrections.size + this.#reservations.length > 0;
  }

  #due(inMs: number): void {
    this.#hold();
    const dueAt = this.#options.clock.now() + inMs;
    if (dueAt >= this.#dueAt) return;
    this.#dueAt = dueAt;
    if (this.#sending === undefined) this.#setTimer(inMs);
  }

  #setTimer(inMs: number): void {
    this.#cancelTimer?.();
    const send = (): void => void this.#send();
    // What comes in the same moment goes along.
    if (inMs <= 0) queueMicrotask(send);
    else this.#cancelTimer = this.#options.clock.after(inMs, send);
  }

  #hold(): void {
    if (this.#release !== undefined) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#release = resolve;
    this.#options.lifetime.hold(promise);
  }

  /** One call at a time. Resolves to whether it was answered. */
  #send(): Promise<boolean> {
    if (this.#sending !== undefined) return this.#sending;
    this.#cancelTimer?.();
    this.#dueAt = Infinity;
    if (this.#dropped > 0) this.#reportLost(this.#dropped, "too many wait");
    this.#dropped = 0;
    return this.#sending = this.#sendBatch(this.#take()).finally(() => {
      this.#sending = undefined;
      if (this.#dueAt < Infinity) this.#setTimer(this.#dueAt - this.#options.clock.now());
      if (this.#isWaiting) return;
      this.#release?.();
      this.#release = undefined;
    });
  }

  #take(): Batch {
    const batch = {
      rows: takeValues(this.#rows),
      unsent: takeValues(new Map([...this.#unsent].map((id) => [id, id]))),
      // A correction never comes before its row.
      corrections: this.#rows.size > 0 ? [] : takeValues(this.#corrections),
      reservations: this.#reservations.splice(0, MAX_BATCH),
    };
    for (const id of batch.unsent) this.#unsent.delete(id);
    return batch;
  }

  async #sendBatch(batch: Batch): Promise<boolean> {
    const { ledger, onAnswer } = this.#options;
    if (Object.values(batch).every((part) => part.length === 0)) return true;
    try {
      const answer = await ledger()?.account(batch);
      if (answer === undefined) {
        throw new AgentError("internal", "Cannot account for requests: there is no ledger");
      }
      const quotaKeys = [...batch.rows, ...batch.reservations.map(({ row }) => row)].flatMap((row) =>
        row.quotaKeys
      );
      onAnswer(answer, new Set(quotaKeys));
      for (const { row, settle } of batch.reservations) {
        const maxTokens = answer.granted.get(row.id);
        if (maxTokens === undefined) settle.reject(budgetExceeded(answer, row));
        else settle.resolve(maxTokens);
      }
    } catch (thrown) {
      this.#failed(batch, toAgentError(thrown));
      return false;
    }
    if (this.#isWaiting) {
      this.#due(this.#reservations.length > 0 || batch.rows.length === MAX_BATCH ? 0 : FLUSH_MS);
    }
    return true;
  }

  #failed({ rows, unsent, corrections, reservations }: Batch, error: AgentError): void {
    const { log } = this.#options;
    for (const { row, settle } of reservations) {
      this.#unsent.add(row.id);
      settle.reject(
        new AgentError(error.code, "the day's budget cannot be checked", { retryable: true, cause: error }),
      );
    }
    if (error.code === "store_unavailable") {
      log.write({ level: "warn", event: "usage_not_recorded", rows: rows.length, error });
      // The newer state of a row came meanwhile, if there is one.
      const newer = [...this.#rows];
      this.#rows.clear();
      for (const row of rows) this.#rows.set(row.id, row);
      for (const [id, row] of newer) this.#rows.set(id, row);
      for (const id of unsent) this.#unsent.add(id);
      for (const correction of corrections) this.#corrections.set(correction.id, correction);
    } else if (rows.length > 0) {
      this.#reportLost(rows.length, "the ledger refused them", error);
    }
    // Nothing is worth holding the worker for while the database is away.
    this.#release?.();
    this.#release = undefined;
    if (this.#isWaiting) this.#dueAt = Math.min(this.#dueAt, this.#options.clock.now() + RETRY_MS);
  }

  #reportLost(rows: number, why: string, error?: AgentError): void {
    this.#options.log.write({ level: "error", event: "usage_rows_lost", rows, why, ...(error && { error }) });
  }
}

/** Takes the first values out of the map. */
function takeValues<Value>(map: Map<string, Value>): Value[] {
  const values: Value[] = [];
  for (const [key, value] of map) {
    if (values.length === MAX_BATCH) break;
    values.push(value);
    map.delete(key);
  }
  return values;
}

function budgetExceeded({ usedUp, dayLeftMs }: UsageAnswer, { quotaKeys }: AttemptRow): AgentError {
  const isUsedUp = quotaKeys.some((key) => usedUp.has(key));
  const words = isUsedUp
    ? "the day's budget is used up"
    : "what is left of the day's budget is reserved for answers that are being written";
  return new AgentError("budget_exceeded", words, { retryable: true, retryAfterMs: dayLeftMs });
}
