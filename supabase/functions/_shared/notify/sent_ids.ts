/** Ids of what was sent, so that a retry sends nothing twice. In this worker's memory. */

import { AgentError } from "../errors.ts";
import type { Clock } from "../ports/runtime.ts";

const REMEMBER_MS = 86_400_000;
const MAX_REMEMBERED = 10_000;

interface Sending {
  /** Of fixed length, as so many are kept. */
  fingerprint: string;
  at: number;
  /** Settles when it was sent. */
  sent: Promise<void>;
}

export class SentIds {
  readonly #clock: Clock;
  // In order of age.
  readonly #sendings = new Map<string, Sending>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Calls `send`, unless the same was sent under `id` within a day, or is being sent: then it waits for that. The content is known by its
   * `fingerprint`. Resolves to whether it was a repeat. Throws `id_conflict` if the id had another content; rejects as `send` does, and
   * then forgets the id. Past 10,000 ids the oldest is forgotten.
   */
  async once(id: string, fingerprint: string, send: () => Promise<void>): Promise<boolean> {
    const known = this.#sendings.get(id);
    if (known !== undefined && this.#clock.now() - known.at <= REMEMBER_MS) {
      if (known.fingerprint !== fingerprint) {
        throw new AgentError("id_conflict", 'Cannot send: its "id" was used for another notification');
      }
      await known.sent;
      return true;
    }
    const sending = { fingerprint, at: this.#clock.now(), sent: send() };
    this.#remember(id, sending);
    try {
      await sending.sent;
    } catch (thrown) {
      if (this.#sendings.get(id) === sending) this.#sendings.delete(id);
      throw thrown;
    }
    return false;
  }

  #remember(id: string, sending: Sending): void {
    this.#sendings.delete(id);
    this.#sendings.set(id, sending);
    const [oldest] = this.#sendings.keys();
    if (this.#sendings.size > MAX_REMEMBERED && oldest !== undefined) this.#sendings.delete(oldest);
  }
}
