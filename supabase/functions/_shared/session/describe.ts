/** What `command` `status` tells of a session's turns. */

import { position } from "./core/queue.ts";
import type { SessionState } from "./core/state.ts";
import type { Turn } from "./core/turn.ts";

export function describeTurns(state: SessionState): Record<string, unknown> {
  const placed = [...state.turns.values()].map((turn) => ({ turn, place: position(state, turn) }));
  placed.sort((a, b) => a.place - b.place);
  const running = placed.find(({ place }) => place === 0)?.turn;
  const waiting = placed.filter(({ turn }) => turn !== running);
  return {
    state: running === undefined ? "idle" : "running",
    running: running === undefined ? null : idsOf(running),
    queued: waiting.map(({ turn }, index) => ({ ...idsOf(turn), position: index + 1 })),
  };
}

function idsOf({ query: { queryId, turnId } }: Turn): { id: string; turn_id: string } {
  return { id: queryId, turn_id: turnId };
}
