/** The agent's state, as its activity events show it. Pure: time is an argument. */

import type { ActivityEvent, LoadChangeData, ReasoningUpdateData } from "./activity_events.ts";

/** How long an ended turn is still shown, and how long a turn without new events. */
const ENDED_MS = 8000;
const SILENT_MS = 120_000;
/** The time window for counting operations. */
const WINDOW_MS = 5000;
const MAX_TURNS = 50;
const ENDS = ["completed", "cancelled", "failed", "interrupted"];
/** No worker runs a turn in one of these. */
const IDLE: readonly string[] = ["queued", "waiting"];

export interface WatchedTurn {
  id: string;
  sessionId: string;
  stage: string;
  /** 0 to 1. */
  progress: number;
  isEnded: boolean;
  updatedAt: number;
}

export interface Load {
  /** 0 to 1. */
  level: number;
  intensity: LoadChangeData["visualIntensity"];
  /** The agent reported it. Otherwise it is estimated from the events. */
  isTold: boolean;
  runningTurns: number;
  sessions: number;
  operationsPerSecond: number;
}

export class ActivityState {
  readonly #turns = new Map<string, WatchedTurn>();
  readonly #sessions = new Set<string>();
  #operations: number[] = [];
  #told: LoadChangeData | undefined;

  take(event: ActivityEvent, now: number): void {
    switch (event.type) {
      case "reasoning_update":
        return this.#takeTurn(event.data, now);
      case "load_change":
        this.#told = event.data;
        return;
      case "memory_operation":
        this.#operations.push(now);
        return;
      case "session_event":
        if (event.data.event === "deleted") this.#sessions.delete(event.data.sessionId);
        else this.#sessions.add(event.data.sessionId);
    }
  }

  /** Newest first; ended turns stay for a few seconds. */
  turns(now: number): WatchedTurn[] {
    for (const [id, { isEnded, updatedAt }] of this.#turns) {
      if (now - updatedAt > (isEnded ? ENDED_MS : SILENT_MS)) this.#turns.delete(id);
    }
    return [...this.#turns.values()].reverse();
  }

  /**
   * The agent reports its load only when the intensity changes. While it is low, this is the agent's formula applied to
   * the events since the watch began.
   */
  load(now: number): Load {
    this.#operations = this.#operations.filter((at) => now - at <= WINDOW_MS);
    const runningTurns =
      this.turns(now).filter(({ isEnded, stage }) => !isEnded && !IDLE.includes(stage)).length;
    const operationsPerSecond = this.#operations.length / (WINDOW_MS / 1000);
    const sessions = this.#sessions.size;
    const intensity = this.#told?.visualIntensity ?? "low";
    const reckoned = 0.6 * Math.min(1, runningTurns / 20) + 0.2 * Math.min(1, sessions / 1000) +
      0.2 * Math.min(1, operationsPerSecond / 50);
    const isTold = this.#told !== undefined && intensity !== "low";
    const level = isTold ? this.#told?.loadLevel ?? 0 : Math.min(0.4, reckoned);
    return { level, intensity, isTold, runningTurns, sessions, operationsPerSecond };
  }

  /** Another user watches now, with other events. */
  clear(): void {
    this.#turns.clear();
    this.#sessions.clear();
    this.#operations = [];
    this.#told = undefined;
  }

  #takeTurn({ sessionId, stage, progress, activeStreams }: ReasoningUpdateData, now: number): void {
    // Other functions may report reasoning without naming a turn.
    const id = activeStreams?.[0] ?? sessionId;
    this.#sessions.add(sessionId);
    this.#turns.set(id, { id, sessionId, stage, progress, isEnded: ENDS.includes(stage), updatedAt: now });
    const oldest = this.#turns.keys().next().value;
    if (this.#turns.size > MAX_TURNS && oldest !== undefined) this.#turns.delete(oldest);
  }
}
