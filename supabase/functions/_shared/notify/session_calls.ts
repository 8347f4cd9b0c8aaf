/** Doorbells and other calls between the workers that hold one session, over the relay. */

import type { RelayMessage } from "../ports/relay.ts";
import type { CallSource, SessionCall } from "../protocol/session_call.ts";
import { RELAY_MESSAGES } from "../protocol/topics.ts";
import type { BatchingRelay } from "./batching_relay.ts";

export interface SessionCallsOptions {
  relay: Pick<BatchingRelay, "ring" | "offer">;
  topicOf(sessionId: string): string;
  /** The caller's own name. */
  from: string;
  /** Whether another worker could hold a session. */
  isNeeded(): boolean;
}

/** Of these one that waits says all that an earlier one did. */
const REPLACEABLE: ReadonlySet<SessionCall["kind"]> = new Set(["appended", "tail_wanted", "deleted"]);

export class SessionCalls {
  readonly #options: SessionCallsOptions;

  constructor(options: SessionCallsOptions) {
    this.#options = options;
  }

  /** Never throws; delivery is best effort. Of several doorbells that wait for one session, the last one replaces the others. */
  send(sessionId: string, call: SessionCall): void {
    const { relay, topicOf, isNeeded } = this.#options;
    if (!isNeeded()) return;
    const key = REPLACEABLE.has(call.kind) ? { key: `${call.kind} ${sessionId}` } : {};
    relay.ring(topicOf(sessionId), this.#message(sessionId, call), key);
  }

  /** The same of what grows: it is asked for when it can be sent, after all else. */
  offer(sessionId: string, { make, onFailed }: CallSource): void {
    const { relay, topicOf, isNeeded } = this.#options;
    if (!isNeeded()) return;
    relay.offer(topicOf(sessionId), {
      key: `tail ${sessionId}`,
      make: () => {
        const call = make();
        return call && this.#message(sessionId, call);
      },
      onFailed,
    });
  }

  #message(sessionId: string, call: SessionCall): RelayMessage {
    return { event: RELAY_MESSAGES.sessionCall, payload: { from: this.#options.from, sessionId, call } };
  }
}
