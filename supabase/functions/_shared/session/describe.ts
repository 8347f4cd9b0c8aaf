/** What is told of a session's turns: by the command `status`, and to a dialect that resumes the newest. */

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

/** Turns whose question is in the log and whose end is not, oldest first. */
export function openTurnsOf(state: SessionState): readonly { queryId: string; turnId: string }[] {
  const logged = [...state.turns.values()].filter(({ seq }) => seq !== undefined);
  logged.sort((a, b) => (a.seq ?? 0) - (b.seq ?? 0));
  return logged.map(({ query: { queryId, turnId } }) => ({ queryId, turnId }));
}

function idsOf({ query: { queryId, turnId } }: Turn): { id: string; turn_id: string } {
  return { id: queryId, turn_id: turnId };
}
