/** What stands in the relay's place with `RELAY=off`: it takes nothing, and says why. */

import { AgentError } from "../errors.ts";

export const DISABLED_RELAY = {
  /** For `/health`. */
  status: "off",
  /** What is kept in the log is found there: nobody is told sooner. */
  ring(): void {},
  offer(): void {},
  waiting: 0,
  publish(): Promise<never> {
    // Not retryable: trying again helps nobody until the operator changes his mind.
    return Promise.reject(
      new AgentError("relay_unavailable", "Cannot notify: the relay is switched off (RELAY=off)"),
    );
  },
} as const;
