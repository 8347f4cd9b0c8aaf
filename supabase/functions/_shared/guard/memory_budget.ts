/**
 * What a worker keeps, in bytes, and how much that may be: `MAX_MEMORY_BYTES`.
 *
 * Each owner (a connection, a session, a session's log) has an account, and adds to it where it keeps or drops something. Its
 * end closes the account, which gives everything back in one step; a closed account ignores what is still added, so
 * what is late cannot be forgotten in the sum. Adding is an addition and a comparison.
 */

/**
 * Bytes of what is kept beside its text, measured with `tests/support/measure_memory.ts` as the growth of V8's heap over
 * 20,000 of each (Deno 2.9.6, x64), rounded up.
 */
export const OVERHEAD_BYTES = {
  /** A connection with its socket, before it has sent anything. */
  connection: 8000,
  /** A session without any event. */
  session: 4000,
  /** An event in the memory store's log. */
  event: 600,
  /** A query whose id is remembered. */
  query: 500,
  /** A message of the conversation, a comment that waits, the id of a piece of feedback. */
  message: 150,
} as const;

/** The last part of the limit is for what exists already: nothing new is let in there. */
const HEADROOM_SHARE = 1 / 16;

/** Bytes of a text of so many UTF-16 units, as V8 keeps it at most. */
export function textBytes(chars: number): number {
  return 2 * chars;
}

/** Tells the budget how many bytes more are kept, and how many more of those are on their way out. */
type OnChange = (kept: number, leaving: number) => void;

/** What one owner keeps. */
export class MemoryAccount {
  readonly #onChange: OnChange;
  #parts: MemoryAccount[] | undefined;
  #own = 0;
  #state: "open" | "leaving" | "closed" = "open";

  constructor(onChange: OnChange) {
    this.#onChange = onChange;
  }

  /** With all parts. 0 once it is closed. */
  get bytes(): number {
    return (this.#parts ?? []).reduce((sum, part) => sum + part.bytes, this.#own);
  }

  /** Keeps `bytes` more, or less where they are negative. */
  add(bytes: number): void {
    if (this.#state === "closed" || bytes === 0) return;
    this.#own += bytes;
    this.#onChange(bytes, this.#state === "leaving" ? bytes : 0);
  }

  /** Keeps so much of what it counts, in the place of what it kept before: parts keep theirs. */
  set(bytes: number): void {
    this.add(bytes - this.#own);
  }

  /** For one of several things that the owner keeps. It is closed with this account. */
  part(): MemoryAccount {
    const part = new MemoryAccount(this.#onChange);
    if (this.#state === "closed") part.close();
    else (this.#parts ??= []).push(part);
    return part;
  }

  /** The owner is on its way out: what it keeps will soon be given back. */
  leave(): void {
    if (this.#state !== "open") return;
    for (const part of this.#parts ?? []) part.leave();
    this.#state = "leaving";
    this.#onChange(0, this.#own);
  }

  /** The owner is gone: gives all of it back. Doing it again does nothing. */
  close(): void {
    if (this.#state === "closed") return;
    for (const part of this.#parts ?? []) part.close();
    this.add(-this.#own);
    this.#state = "closed";
    this.#parts = undefined;
  }
}

/** Things of one kind that each have a text, such as the events of a log. */
export class KeptEntries {
  readonly #account: MemoryAccount;
  readonly #overheadBytes: number;
  readonly #countsText: boolean;

  /** `countsText` is false where the same texts are kept, and counted, elsewhere in the worker. */
  constructor(account: MemoryAccount, overheadBytes: number, countsText = true) {
    this.#account = account;
    this.#overheadBytes = overheadBytes;
    this.#countsText = countsText;
  }

  /** Keeps one with a text of so many UTF-16 units. */
  add(chars: number): void {
    this.#account.add(this.#bytesOf(chars));
  }

  drop(chars: number): void {
    this.#account.add(-this.#bytesOf(chars));
  }

  #bytesOf(chars: number): number {
    return this.#overheadBytes + (this.#countsText ? textBytes(chars) : 0);
  }
}

/** What one session keeps at this worker, beside a log in the worker's memory. */
export class SessionMemory {
  /** What the model sees. */
  readonly messages: KeptEntries;
  /** Comments that wait for the next query. */
  readonly notes: MemoryAccount;
  readonly queries: KeptEntries;
  readonly #answer: MemoryAccount;
  readonly #account: MemoryAccount;

  /** `isLogHere`: the log is in this worker's memory too, and counts the texts. */
  constructor(budget: MemoryBudget, { isLogHere }: { isLogHere: boolean }) {
    const { session, message, query } = OVERHEAD_BYTES;
    const account = this.#account = budget.account(session);
    this.messages = new KeptEntries(account, message, !isLogHere);
    this.queries = new KeptEntries(account, query, !isLogHere);
    this.notes = account.part();
    this.#answer = account.part();
  }

  /**
   * An answer begins. It is counted as long as it may become, some four characters a token: nothing is counted while it is
   * written.
   */
  asking<Request extends { maxTokens: number }>(request: Request): Request {
    this.#answer.set(textBytes(4 * request.maxTokens));
    return request;
  }

  /** It is done, or dropped. */
  answered(): void {
    this.#answer.set(0);
  }

  close(): void {
    this.#account.close();
  }
}

export class MemoryBudget {
  /** In bytes; 0 for no limit. */
  readonly limitBytes: number;
  /** Called whenever more is kept and that is over the limit. Must not throw. */
  onOver: (() => void) | undefined;
  #keptBytes = 0;
  #leavingBytes = 0;

  readonly #onChange: OnChange = (kept, leaving) => {
    this.#keptBytes += kept;
    this.#leavingBytes += leaving;
    if (kept > 0 && this.isFull) this.onOver?.();
  };

  /** `limitBytes` 0 is no limit: what is kept is counted all the same. */
  constructor(limitBytes: number) {
    this.limitBytes = limitBytes;
  }

  get keptBytes(): number {
    return this.#keptBytes;
  }

  /** Whether what exists may not take more either. */
  get isFull(): boolean {
    return this.limitBytes > 0 && this.#keptBytes >= this.limitBytes;
  }

  /** Whether anything new may come, which keeps `bytes`. */
  hasRoomFor(bytes: number): boolean {
    return this.limitBytes === 0 || this.#keptBytes + bytes <= this.limitBytes * (1 - HEADROOM_SHARE);
  }

  /** Bytes that have to go until something new may come, beside what is on its way out; 0 or less where none. */
  get excessBytes(): number {
    if (this.limitBytes === 0) return 0;
    return this.#keptBytes - this.#leavingBytes - this.limitBytes * (1 - HEADROOM_SHARE);
  }

  /** For a new owner, with what it keeps from the start. */
  account(bytes: number): MemoryAccount {
    const account = new MemoryAccount(this.#onChange);
    account.add(bytes);
    return account;
  }
}
