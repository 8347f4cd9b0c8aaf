/**
 * How the agent reports its activity. Without watchers a report costs one check and nothing else: no event is made, no
 * time is read.
 */

import type { Clock } from "../ports/runtime.ts";
import type { ActivityEvent, SystemEventData } from "../protocol/activity_events.ts";
import { ANONYMOUS } from "../protocol/activity_types.ts";
import { activityEventHelpers } from "./event_helpers.ts";
import { Progress } from "./progress.ts";
import type {
  ActivityReporter,
  ActivitySink,
  MemoryAccess,
  MemoryOutcome,
  ReportedSession,
  ReportedTurn,
  TurnStage,
} from "./reporter.ts";

export class AgentActivity implements ActivityReporter {
  readonly #sink: ActivitySink;
  readonly #clock: Pick<Clock, "now">;
  readonly #create: ReturnType<typeof activityEventHelpers>;
  readonly #progress: Progress;
  #commits = 0;

  constructor(sink: ActivitySink, clock: Pick<Clock, "now">) {
    this.#sink = sink;
    this.#clock = clock;
    this.#create = activityEventHelpers(clock);
    this.#progress = new Progress(clock);
  }

  /** Commits and deletions counted while there were watchers. The load's commits per second are computed from it. */
  get commits(): number {
    return this.#commits;
  }

  session(session: ReportedSession, event: "created" | "updated" | "deleted"): void {
    if (!this.#sink.isWatched) return;
    const { sessionId } = session;
    const data = { event, sessionId, userId: ownerId(session) ?? ANONYMOUS };
    this.#emit(session, this.#create.createSessionEvent(data));
  }

  reasoning(session: ReportedSession, turn: ReportedTurn, stage: TurnStage, mode?: string): void {
    if (!this.#sink.isWatched) return;
    this.#reason(session, turn, stage, { progress: this.#progress.at(turn, stage), mode });
  }

  streaming(session: ReportedSession, turn: ReportedTurn, maxTokens: number): void {
    if (!this.#sink.isWatched) return;
    const progress = this.#progress.streamed(turn, maxTokens);
    if (progress !== undefined) this.#reason(session, turn, "streaming", { progress });
  }

  memory(session: ReportedSession, { operation, sector }: MemoryAccess, outcome: MemoryOutcome): void {
    if (!this.#sink.isWatched) return;
    if (operation !== "recall" && outcome.success) this.#commits++;
    const event = this.#create.createMemoryOperationEvent({
      operation,
      memoryId: session.sessionId,
      userId: ownerId(session) ?? ANONYMOUS,
      sector,
      success: outcome.success,
      duration: outcome.durationMs,
    });
    this.#emit(session, event);
  }

  timed<T>(session: ReportedSession, access: MemoryAccess, work: () => Promise<T>): Promise<T> {
    if (!this.#sink.isWatched) return work();
    const startedAt = this.#clock.now();
    const tell = (success: boolean): void =>
      this.memory(session, access, { success, durationMs: this.#clock.now() - startedAt });
    const working = work();
    // Beside the caller's own waiting, not before it: being watched changes the order of nothing.
    working.then(() => tell(true), () => tell(false));
    return working;
  }

  system(event: SystemEventData["event"], words: Omit<SystemEventData, "event"> = {}): void {
    if (this.#sink.isWatched) this.#sink.broadcast(this.#create.createSystemEvent({ event, ...words }));
  }

  #reason(
    session: ReportedSession,
    turn: ReportedTurn,
    stage: string,
    { progress, mode }: { progress: number; mode?: string | undefined },
  ): void {
    const { sessionId } = session;
    const activeStreams = [turn.query.turnId];
    const data = { sessionId, stage, progress, activeStreams, ...(mode !== undefined && { mode }) };
    this.#emit(session, this.#create.createReasoningUpdateEvent(data));
  }

  #emit(session: ReportedSession, event: ActivityEvent): void {
    this.#sink.broadcast(event, { userId: ownerId(session) });
  }
}

/** Undefined for an anonymous session: it is shown only to those who see everything. */
function ownerId({ owner }: ReportedSession): string | undefined {
  return owner.kind === "user" ? owner.userId : undefined;
}
