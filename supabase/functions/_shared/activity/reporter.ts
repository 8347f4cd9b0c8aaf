/** How the rest of the agent reports its activity, and where the events go. */

import type { SessionRecord } from "../ports/session_store.ts";
import type { ActivityEvent, SystemEventData } from "../protocol/activity_events.ts";

/** Where events go: the hub of this worker, or something that carries them further too. */
export interface ActivitySink {
  /** Whether there are watchers. */
  readonly isWatched: boolean;
  /** Never throws. Without `userId` the event has no owner. */
  broadcast(event: ActivityEvent, owner?: { userId?: string | undefined }): void;
}

/** Which session, and whose. */
export type ReportedSession = Pick<SessionRecord, "sessionId" | "owner">;

/** A turn as far as it is of interest: `agent/turn.ts` has this and more. */
export interface ReportedTurn {
  readonly query: { readonly turnId: string };
  /** The answer so far. */
  readonly text: string;
}

/** How a turn ended. */
export type EndStage = "completed" | "cancelled" | "failed" | "interrupted";

/** What a turn does with its tool calls. */
export type CallStage = "calling" | "called" | "waiting" | "decided";

/** The state of a turn, except streaming: {@linkcode ActivityReporter.streaming} reports that. */
export type TurnStage = "queued" | "thinking" | CallStage | EndStage;

/** What was done to a session's memory, and to which part of it. */
export interface MemoryAccess {
  /** `recall`: history was read into a prompt; `store`: the log took events; `delete`: clear, or the session went. */
  operation: "recall" | "store" | "delete";
  /** Such as `history`, `log`, `session`. */
  sector: string;
}

/** How it went. */
export interface MemoryOutcome {
  success: boolean;
  durationMs: number;
}

/** Reports the agent's activity. No method throws, and the cost without watchers is negligible. */
export interface ActivityReporter {
  session(session: ReportedSession, event: "created" | "updated" | "deleted"): void;
  /** A turn has come to a stage. `mode` says more of it, such as the tool that is called. */
  reasoning(session: ReportedSession, turn: ReportedTurn, stage: TurnStage, mode?: string): void;
  /** A turn's text has grown. Call it for every piece: most calls report nothing. `maxTokens` is the limit of the answer. */
  streaming(session: ReportedSession, turn: ReportedTurn, maxTokens: number): void;
  memory(session: ReportedSession, access: MemoryAccess, outcome: MemoryOutcome): void;
  /** Runs `work` and reports it once it has settled. Returns `work`'s own promise. */
  timed<T>(session: ReportedSession, access: MemoryAccess, work: () => Promise<T>): Promise<T>;
  system(event: SystemEventData["event"], words?: Omit<SystemEventData, "event">): void;
}
