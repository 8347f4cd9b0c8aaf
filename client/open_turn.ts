/** Turns without an end. */

import type { Turn } from "./turn.ts";

export function isOpen({ state }: Turn): boolean {
  return state === "waiting" || state === "queued" || state === "running";
}

/** The newest turn without an end. */
export function openTurnOf({ turns }: { turns: readonly Turn[] }): Turn | undefined {
  return turns.findLast(isOpen);
}
