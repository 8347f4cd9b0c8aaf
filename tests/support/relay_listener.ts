/** A relay's listener in a test, and the messages that it gets. */

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

/** The nth of many. */
export function message(n: number): RelayMessage {
  return { event: "e", payload: { n } };
}
