/** Ids of what was sent, so that a retry sends nothing twice. In this worker's memory. */

import { AgentError } from "../errors.ts";
import type { Clock } from "../ports/runtime.ts";

const REMEMBER_MS = 86_400_000;
const MAX_REMEMBERED = 10_000;

export class SentIds {
  readonly #clock: Clock;
  // In order of age.
  readonly #sent = new Map<string, { fingerprint: string; at: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Whether `id` was sent with the same content within a day, by its `fingerprint`: of fixed length, as so many are kept.
   * Throws `id_conflict` where it was with another.
   */
  has(id: string, fingerprint: string): boolean {
    const known = this.#sent.get(id);
    if (known === undefined || this.#clock.now() - known.at > REMEMBER_MS) return false;
    if (known.fingerprint === fingerprint) return true;
    throw new AgentError("id_conflict", 'Cannot send: its "id" was used for another notification');
  }

  /** Remembers it; the oldest is forgotten past 10,000. */
  add(id: string, fingerprint: string): void {
    this.#sent.delete(id);
    this.#sent.set(id, { fingerprint, at: this.#clock.now() });
    const [oldest] = this.#sent.keys();
    if (this.#sent.size > MAX_REMEMBERED && oldest !== undefined) this.#sent.delete(oldest);
  }
}
