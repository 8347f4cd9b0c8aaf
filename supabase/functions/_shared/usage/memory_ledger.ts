/**
 * The accounts in a worker's memory: what was spent today, where there is a budget and no database. It does all that the accounts of
 * several workers do: tests run many workers on one.
 */

import type {
  AttemptLedger,
  AttemptRow,
  Correction,
  DailyBudget,
  Reservation,
  UsageAnswer,
  UsageChange,
} from "../ports/usage.ts";
import type { Clock } from "../ports/runtime.ts";

const DAY_MS = 86_400_000;
/** Requests that can still be changed. Of older ones only the sums are kept. */
const MAX_ROWS = 20_000;

interface Spent {
  tokens: number;
  reserved: number;
  cost: number;
  reservedCost: number;
}

interface Kept extends Spent {
  row: AttemptRow;
}

export interface MemoryLedgerOptions {
  clock: Clock;
  budget: DailyBudget;
}

export class MemoryLedger implements AttemptLedger {
  readonly #options: MemoryLedgerOptions;
  #day = 0;
  readonly #rows = new Map<string, Kept>();
  readonly #spent = new Map<string, Spent>();
  /** US dollars for a token, by model, as last reported. */
  readonly #prices = new Map<string, number>();
  /** The open request of a turn. */
  readonly #open = new Map<string, string>();
  /** The keys of a session's last request: a turn that was read in the log does not know its address. */
  readonly #keys = new Map<string, readonly string[]>();

  constructor(options: MemoryLedgerOptions) {
    this.#options = options;
  }

  account(change: UsageChange): Promise<UsageAnswer> {
    const dayLeftMs = this.#turnPage();
    const keys = new Set<string>();
    const lost: { id: string; generationId: string }[] = [];
    for (const id of change.unsent) if (this.#rows.get(id)?.row.outcome === "open") this.#remove(id);
    for (const row of change.rows) {
      for (const key of row.quotaKeys) keys.add(key);
      this.#book(row, lost);
    }
    for (const correction of change.corrections) {
      for (const key of this.#correct(correction)) keys.add(key);
    }
    const granted = new Map<string, number>();
    for (const reservation of change.reservations) {
      const row = this.#withKeys(reservation.row);
      for (const key of row.quotaKeys) keys.add(key);
      const maxTokens = this.#grant(row, reservation);
      if (maxTokens === undefined) continue;
      granted.set(row.id, maxTokens);
      this.#loseOther(row, lost);
      this.#put(row, maxTokens);
    }
    const usedUp = new Set([...keys].filter((key) => this.#isUsedUp(key)));
    return Promise.resolve({ granted, usedUp, dayLeftMs, lost });
  }

  #turnPage(): number {
    const now = this.#options.clock.now();
    const day = Math.floor(now / DAY_MS);
    if (day !== this.#day) {
      this.#day = day;
      for (const map of [this.#rows, this.#spent, this.#open, this.#keys]) map.clear();
    }
    return DAY_MS - now % DAY_MS;
  }

  #book(row: AttemptRow, lost: { id: string; generationId: string }[]): void {
    // With a budget the worker itself has reserved what it used.
    if (row.inferred) return;
    const known = this.#rows.get(row.id);
    if (known === undefined) {
      // What was begun yesterday counts for yesterday.
      if (Math.floor(row.begunAt / DAY_MS) !== this.#day) return;
      this.#loseOther(row, lost);
    } else if (
      known.row.outcome !== "open" && row.outcome === "open" || !known.row.estimated && row.estimated
    ) {
      return;
    }
    const { quotaKeys } = known?.row ?? row;
    this.#put({ ...row, quotaKeys }, row.outcome === "open" ? known?.reserved ?? 0 : 0);
  }

  #correct({ id, usage }: Correction): readonly string[] {
    const known = this.#rows.get(id)?.row;
    if (known === undefined) return [];
    const { prompt_tokens: promptTokens, completion_tokens: completionTokens, cost = known.cost } = usage;
    this.#put({ ...known, promptTokens, completionTokens, cost, estimated: false }, 0);
    return known.quotaKeys;
  }

  #withKeys(row: AttemptRow): AttemptRow {
    const before = this.#keys.get(row.sessionId);
    const quotaKeys = before !== undefined && before.length > row.quotaKeys.length ? before : row.quotaKeys;
    this.#keys.set(row.sessionId, quotaKeys);
    dropOldest(this.#keys);
    return { ...row, quotaKeys };
  }

  /** Undefined where the budget of one of its keys is used up. */
  #grant({ quotaKeys, model }: AttemptRow, { maxTokens }: Reservation): number | undefined {
    const { budget } = this.#options;
    const price = this.#prices.get(model);
    let granted = maxTokens;
    for (const key of quotaKeys) {
      const { tokens, reserved, cost, reservedCost } = this.#of(key);
      const left = budget.tokens === 0 ? Infinity : budget.tokens - tokens - reserved;
      const costLeft = budget.cost === 0 ? Infinity : budget.cost - cost - reservedCost;
      if (left <= 0 || costLeft <= 0) return undefined;
      granted = Math.min(
        granted,
        left,
        price === undefined ? Infinity : Math.max(1, Math.floor(costLeft / price)),
      );
    }
    return granted;
  }

  /** An older open request of the same turn is of a worker that lost it. What it reserved goes on counting. */
  #loseOther({ id, turnId, begunAt }: AttemptRow, lost: { id: string; generationId: string }[]): void {
    const other = this.#rows.get(this.#open.get(turnId) ?? "");
    if (other === undefined || other.row.id === id || other.row.begunAt > begunAt) return;
    const { row, reserved } = other;
    this.#put({ ...row, outcome: "lost" }, reserved);
    if (row.generationId !== undefined) lost.push({ id: row.id, generationId: row.generationId });
  }

  #put(row: AttemptRow, reserved: number): void {
    this.#remove(row.id);
    const tokens = row.promptTokens + row.completionTokens;
    if (!row.estimated && row.cost !== undefined && row.cost > 0 && tokens > 0) {
      this.#prices.set(row.model, row.cost / tokens);
    }
    const cost = row.cost ?? (row.estimated ? (this.#prices.get(row.model) ?? 0) * (tokens + reserved) : 0);
    const spent = reserved > 0
      ? { tokens, reserved, cost: 0, reservedCost: cost }
      : { tokens, reserved, cost, reservedCost: 0 };
    this.#rows.set(row.id, { row, ...spent });
    this.#add(row.quotaKeys, spent, 1);
    if (row.outcome === "open") this.#open.set(row.turnId, row.id);
    else if (this.#open.get(row.turnId) === row.id) this.#open.delete(row.turnId);
    dropOldest(this.#rows);
  }

  #remove(id: string): void {
    const known = this.#rows.get(id);
    if (known === undefined) return;
    this.#rows.delete(id);
    this.#add(known.row.quotaKeys, known, -1);
  }

  #add(keys: readonly string[], { tokens, reserved, cost, reservedCost }: Spent, times: 1 | -1): void {
    for (const key of keys) {
      const before = this.#of(key);
      this.#spent.set(key, {
        tokens: before.tokens + times * tokens,
        reserved: before.reserved + times * reserved,
        cost: before.cost + times * cost,
        reservedCost: before.reservedCost + times * reservedCost,
      });
    }
  }

  #of(key: string): Spent {
    return this.#spent.get(key) ?? { tokens: 0, reserved: 0, cost: 0, reservedCost: 0 };
  }

  #isUsedUp(key: string): boolean {
    const { budget } = this.#options;
    const { tokens, cost } = this.#of(key);
    return budget.tokens > 0 && tokens >= budget.tokens || budget.cost > 0 && cost >= budget.cost;
  }
}

function dropOldest<T>(map: Map<string, T>): void {
  const [oldest] = map.keys();
  if (map.size > MAX_ROWS && oldest !== undefined) map.delete(oldest);
}
