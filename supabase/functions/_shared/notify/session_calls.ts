/** Doorbells and other calls between the workers that hold one session, over the relay. */

import { toAgentError } from "../errors.ts";
import type { Log, RelayMessage } from "../ports.ts";
import type { SessionCall } from "../protocol/session_call.ts";
import { RELAY_MESSAGES } from "../protocol/topics.ts";

export interface SessionCallsOptions {
  relay: {
    publish(topic: string, message: RelayMessage): Promise<void>;
    ring(topic: string, message: RelayMessage, key: string): void;
  };
  log: Log;
  topicOf(sessionId: string): string;
  /** The caller's own name. */
  from: string;
  /** Whether anybody else could hold a session. */
  isNeeded(): boolean;
}

export class SessionCalls {
  readonly #options: SessionCallsOptions;

  constructor(options: SessionCallsOptions) {
    this.#options = options;
  }

  /** Never throws; whether it arrives, nobody knows. Of doorbells for one session that wait, the last one counts. */
  send(sessionId: string, call: SessionCall): void {
    const { relay, topicOf, from, isNeeded, log } = this.#options;
    if (!isNeeded()) return;
    const message = { event: RELAY_MESSAGES.sessionCall, payload: { from, sessionId, call } };
    if (call.kind === "appended") return relay.ring(topicOf(sessionId), message, sessionId);
    relay.publish(topicOf(sessionId), message).catch((thrown) => {
      log.write({
        level: "warn",
        event: "session_call_failed",
        kind: call.kind,
        error: toAgentError(thrown),
      });
    });
  }
}
