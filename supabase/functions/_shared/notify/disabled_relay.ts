/** What stands in the relay's place with `RELAY=off`: it takes nothing, and says why. */

import { AgentError } from "../errors.ts";

export const DISABLED_RELAY = {
  /** For `/health`. */
  status: "off",
  /** Durable events are found in the log. Without a relay there is no earlier doorbell. */
  ring(): void {},
  offer(): void {},
  waiting: 0,
  publish(): Promise<never> {
    // Not retryable: a retry cannot succeed until the operator turns the relay on.
    return Promise.reject(
      new AgentError("relay_unavailable", "Cannot notify: the relay is switched off (RELAY=off)"),
    );
  },
} as const;
