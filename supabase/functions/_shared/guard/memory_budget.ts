/**
 * What a worker keeps, in bytes, and how much that may be: `MAX_MEMORY_BYTES`.
 *
 * Each owner (a connection, a session, a session's log) has an account, and adds to it where it keeps or drops something. Its
 * end closes the account, which gives everything back in one step; a closed account ignores what is still added, so
 * what is late cannot be forgotten in the sum. Adding is an addition and a comparison.
 */

/**
 * Bytes of what is kept beside its text: the growth of V8's heap over 20,000 of each (Deno 2.9.6, x64;
 * `tests/support/measure_memory.ts` measures it: 632, 347, 90, and 7,503 for a connection with its session), rounded up. The runtime's
 * own socket adds 5,000 to a connection (README, "heap per idle connection").
 */
export const OVERHEAD_BYTES = {
  /** A connection with its socket, before it has sent anything. */
  connection: 8000,
  /** A session without any event. */
  session: 4000,
  /** An event in the memory store's log. */
  event: 650,
  /** A query whose id is remembered. */
  query: 400,
  /** A message of the conversation, a comment that waits, the id of a piece of feedback. */
  message: 100,
} as const;

/** The last part of the limit is for what exists already: nothing new is let in there. */
const HEADROOM_SHARE = 1 / 16;

/** An answer that is being written counts as no more than this, in UTF-16 units. */
const MAX_EXPECTED_CHARS = 16_384;

/** Bytes of a text of so many UTF-16 units, as V8 keeps it at most. */
export function textBytes(chars: number): number {
  return 2 * chars;
}

/** Of an answer that is being written: as long as it may become, some four characters a token. */
function bytesOfAnswer(maxTokens: number): number {
  return textBytes(Math.min(4 * maxTokens, MAX_EXPECTED_CHARS));
}

/** Bytes that a query and its answer take, whether or not there is a log in the worker's memory. */
export function bytesOfQuery(content: string, maxTokens: number): number {
  const { query, event } = OVERHEAD_BYTES;
  return query + 2 * event + textBytes(content.length) + bytesOfAnswer(maxTokens);
}

/** Adds to the budget's bytes kept, and to the part of these that is about to be sent. */
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
    else if (this.#parts === undefined) this.#parts = [part]; // `push` would make room for 17.
    else this.#parts.push(part);
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

/** What one session keeps at this worker, beside a log in the worker's memory. Texts are in UTF-16 units. */
export interface SessionSize {
  /** What the model sees. */
  messages: number;
  messageChars: number;
  /** Comments that wait for the next query. */
  notes: number;
  noteChars: number;
  /** Queries whose ids are remembered. */
  queries: number;
  queryChars: number;
  /** Of queries that are still to be sent to the log. */
  unloggedChars: number;
  /** Of the reasoning of running turns. */
  thoughtChars: number;
}

export class SessionMemory {
  readonly #account: MemoryAccount;
  readonly #isLogHere: boolean;

  /** `isLogHere`: the log is in this worker's memory too, and counts the texts. */
  constructor(budget: MemoryBudget, { isLogHere }: { isLogHere: boolean }) {
    this.#account = budget.account(OVERHEAD_BYTES.session);
    this.#isLogHere = isLogHere;
  }

  /**
   * `maxTokens`: what the answer that is being written may have; 0 where none is. It is counted as what is expected of it, so
   * that nothing is counted while it is written.
   */
  set(size: SessionSize, maxTokens: number): void {
    const { session, message, query } = OVERHEAD_BYTES;
    const { messages, messageChars, notes, noteChars, queries, queryChars, unloggedChars, thoughtChars } =
      size;
    const logged = this.#isLogHere ? 0 : messageChars + queryChars;
    this.#account.set(
      session + message * (messages + notes) + query * queries +
        textBytes(noteChars + unloggedChars + thoughtChars + logged) +
        (maxTokens > 0 ? bytesOfAnswer(maxTokens) : 0),
    );
  }

  close(): void {
    this.#account.close();
  }
}

export class MemoryBudget {
  /** In bytes; 0 for no limit. */
  readonly limitBytes: number;
  /** Called whenever more is kept than the limit, or would be. Must not throw. */
  onOver: (() => void) | undefined;
  #keptBytes = 0;
  #leavingBytes = 0;

  readonly #onChange: OnChange = (kept, leaving) => {
    this.#keptBytes += kept;
    this.#leavingBytes += leaving;
    if (kept > 0 && !this.#fits(0)) this.onOver?.();
  };

  /** `limitBytes` 0 is no limit: what is kept is counted all the same. */
  constructor(limitBytes: number) {
    this.limitBytes = limitBytes;
  }

  get keptBytes(): number {
    return this.#keptBytes;
  }

  /** Whether what exists may keep so many bytes more. Where it may not, what may go is let go, and the next attempt may fit. */
  admit(bytes: number): boolean {
    const isFitting = this.#fits(bytes);
    if (!isFitting) this.onOver?.();
    return isFitting;
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

  #fits(bytes: number): boolean {
    return this.limitBytes === 0 || this.#keptBytes + bytes <= this.limitBytes;
  }

  /** For a new owner, with what it keeps from the start. */
  account(bytes: number): MemoryAccount {
    const account = new MemoryAccount(this.#onChange);
    account.add(bytes);
    return account;
  }
}
