/** A relay's listener for tests, and the messages that it receives. */

import type { RelayListener, RelayMessage } from "../../supabase/functions/_shared/ports/relay.ts";

export interface TestListener extends RelayListener {
  heard: RelayMessage[];
  counts: { gaps: number };
}

export function listener(): TestListener {
  const heard: RelayMessage[] = [];
  const counts = { gaps: 0 };
  return {
    heard,
    counts,
    onMessage: (message: RelayMessage) => void heard.push(message),
    onGap: () => void counts.gaps++,
  };
}

/** A distinct message for each `n`. */
export function message(n: number): RelayMessage {
  return { event: "e", payload: { n } };
}
