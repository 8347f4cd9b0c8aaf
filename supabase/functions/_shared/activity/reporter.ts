/** How the rest of the agent tells what it does, and where that goes. */

import type { SessionRecord } from "../ports.ts";
import type { ActivityEvent, SystemEventData } from "../protocol/activity_events.ts";

/** Where events go: the hub of this worker, or something that carries them further too. */
export interface ActivitySink {
  /** Whether anybody is there to see. */
  readonly isWatched: boolean;
  /** Never throws. Without `userId` it is nobody's in particular. */
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

/** Where a turn is; that it is streaming is told by {@linkcode ActivityReporter.streaming}. */
export type TurnStage = "queued" | "thinking" | "completed" | "cancelled" | "failed" | "interrupted";

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

/** What the agent tells of itself. No method throws, and none costs anything to speak of while nobody watches. */
export interface ActivityReporter {
  session(session: ReportedSession, event: "created" | "updated" | "deleted"): void;
  /** A turn has come to a stage. */
  reasoning(session: ReportedSession, turn: ReportedTurn, stage: TurnStage): void;
  /** A turn's text has grown: for every piece of it, as most are not told. `maxTokens` is what it may become. */
  streaming(session: ReportedSession, turn: ReportedTurn, maxTokens: number): void;
  memory(session: ReportedSession, access: MemoryAccess, outcome: MemoryOutcome): void;
  /** Does `work`, and tells of it once it has settled. The answer is `work`'s own promise. */
  timed<T>(session: ReportedSession, access: MemoryAccess, work: () => Promise<T>): Promise<T>;
  system(event: SystemEventData["event"], words?: Omit<SystemEventData, "event">): void;
}
