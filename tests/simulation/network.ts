/** When a message arrives, and what goes wrong in transit. */

import type { Fate } from "./plan.ts";
import type { Message } from "./world_state.ts";

/** How long a write is tried before it is in doubt. The real store takes 15 seconds; a shorter time finds more. */
const GIVE_UP_MS = 1500;

export interface Conditions {
  /** Whether the sender cannot reach the store. */
  isAway: boolean;
  /** The fault of this write, if there is one. */
  fate: Fate | undefined;
  /** The fault of the relay, if there is one. */
  relay: "drop" | "double" | "slow" | undefined;
  /** At least 0 and less than 1; each kind of decision has its own number. */
  roll(kind: number): number;
}

/** A message, and the delay in milliseconds until it arrives. */
export type Sent = [afterMs: number, message: Message];

/** What arrives of a message: nothing, the message once or twice, or another message in its place. */
export function route(message: Message, conditions: Conditions): Sent[] {
  const { roll, isAway } = conditions;
  switch (message.kind) {
    case "write":
      return routeWrite(message, conditions);
    case "answer":
    case "page":
      return [[1 + 30 * roll(2), message]];
    case "read": {
      if (!isAway) return [[1 + 30 * roll(3), message]];
      const event = { kind: "read_failed", purpose: message.purpose, code: "store_unavailable" } as const;
      return [[GIVE_UP_MS, { kind: "page", to: message.from, event }]];
    }
    case "recall": {
      if (!isAway) return [[1 + 30 * roll(3), message]];
      const { from, beforeSeq } = message;
      const event = { kind: "recall_failed", beforeSeq, code: "store_unavailable" } as const;
      return [[GIVE_UP_MS, { kind: "page", to: from, event }]];
    }
    case "relay":
      return routeRelay(message, conditions);
    case "model":
      return [[roll(5) < 0.03 ? 8000 : 20 + 500 * roll(4), message]];
    case "acted":
      return [[roll(5) < 0.05 ? 6000 : 5 + 800 * roll(4), message]];
    case "replayed":
      return [[roll(5) < 0.1 ? 2000 : 0, message]];
  }
}

function routeWrite(
  message: Extract<Message, { kind: "write" }>,
  { isAway, fate, roll }: Conditions,
): Sent[] {
  const { from, number } = message;
  const doubt = { kind: "answer", to: from, number, outcome: { doubt: true } } as const;
  if (isAway) return [[GIVE_UP_MS, doubt]];
  switch (fate?.name) {
    case undefined:
      return [[1 + 30 * roll(3), message]];
    case "slow":
      return [[fate.ms, message]];
    case "answer_lost":
      return [[10, { ...message, isGivenUp: true }], [GIVE_UP_MS, doubt]];
    case "lost":
      return [[GIVE_UP_MS, doubt]];
    case "late":
      return [[GIVE_UP_MS, doubt], [GIVE_UP_MS + fate.ms, { ...message, isGivenUp: true }]];
    case "refused":
      return [[20, { kind: "answer", to: from, number, outcome: { rejected: "internal" } }]];
  }
}

function routeRelay(message: Extract<Message, { kind: "relay" }>, { relay, roll }: Conditions): Sent[] {
  const delay = 1 + 20 * roll(4);
  switch (relay) {
    case undefined:
      return [[delay, message]];
    case "drop":
      return roll(5) < 0.7 ? [] : [[delay, message]];
    case "double":
      return [[delay, message], [delay + 300 * roll(6), message]];
    case "slow":
      return [[3000 * roll(6), message]];
  }
}
