/**
 * What goes when a worker keeps more than `MAX_MEMORY_BYTES`: what was used least, and what costs its owner least.
 *
 * First sessions that nobody holds; then readers that are far behind, who lose nothing but their connection; then sessions that
 * are held and idle. A session that is being answered stays, and takes no more queries while the budget is full.
 */

import type { MemoryBudget } from "../guard/memory_budget.ts";
import type { Clock, Log, WorkerLifetime } from "../ports/runtime.ts";
import { CLOSE } from "../protocol/close_codes.ts";
import type { Session } from "./session.ts";

/** Where nothing more may go, it is looked for again after so long. */
const LOOK_AGAIN_MS = 1000;

export interface MemoryReliefOptions {
  clock: Clock;
  memory: MemoryBudget;
  log: Log;
  lifetime: WorkerLifetime;
  sessions: ReadonlyMap<string, Session>;
  /** Whether a session may go: nobody holds it (unless `evenHeld`), nothing runs in it, and it is not being removed. */
  mayGo(session: Session, which: { evenHeld: boolean }): boolean;
  evict(session: Session, lack: "memory"): Promise<void>;
}

/** From now on lets go what may go, whenever the budget is full. */
export function relieveMemory(options: MemoryReliefOptions): void {
  const { memory, clock, log, lifetime } = options;
  let isUnderWay = false;
  let notBefore = 0;
  memory.onOver = () => {
    if (isUnderWay || clock.now() < notBefore) return;
    isUnderWay = true;
    // Once what is being done in this moment is done: never in the midst of what keeps more.
    const relieving = Promise.resolve().then(() => relieve(options)).then(
      () =>
        log.write({ level: "warn", event: "memory_full", kept: memory.keptBytes, limit: memory.limitBytes }),
      (error) => log.write({ level: "error", event: "memory_relief_failed", error }),
    );
    lifetime.hold(relieving.finally(() => {
      isUnderWay = false;
      if (memory.excessBytes > 0) notBefore = clock.now() + LOOK_AGAIN_MS;
    }));
  };
}

async function relieve(options: MemoryReliefOptions): Promise<void> {
  await evictSessions(options, { evenHeld: false });
  closeSlowReaders(options);
  await evictSessions(options, { evenHeld: true });
}

async function evictSessions(options: MemoryReliefOptions, which: { evenHeld: boolean }): Promise<void> {
  const { memory, sessions, mayGo, evict } = options;
  if (memory.excessBytes <= 0) return;
  const candidates = Array.from(sessions.values()).filter((session) => mayGo(session, which));
  candidates.sort((a, b) => a.lastActivity - b.lastActivity);
  for (const session of candidates) {
    if (memory.excessBytes <= 0) return;
    if (mayGo(session, which)) await evict(session, "memory");
  }
}

/** The ones that are furthest behind first. They lose nothing but their connection. */
function closeSlowReaders({ memory, sessions }: MemoryReliefOptions): void {
  if (memory.excessBytes <= 0) return;
  const connections = Array.from(sessions.values()).flatMap((session) => session.connections);
  const behind = connections.filter(({ waitingBytes }) => waitingBytes > 0);
  behind.sort((a, b) => b.waitingBytes - a.waitingBytes);
  for (const connection of behind) {
    if (memory.excessBytes <= 0) return;
    connection.close(CLOSE.slowConsumer);
  }
}
