/** Stops everything that a run has started, within time limits, even if a part hangs. */

import type { Clock } from "../../supabase/functions/_shared/ports/runtime.ts";
import { settledWithin } from "../../supabase/functions/_shared/settled_within.ts";

/** Something that was started and has to be stopped. */
export interface Part {
  /** For messages, such as `PostgreSQL`. */
  name: string;
  stop(): Promise<void> | void;
  /** Ends the rest of it at once. */
  kill?(): void;
}

export interface StopOptions {
  clock: Pick<Clock, "after">;
  /** The time limit for each part, in milliseconds. */
  withinMs: number;
}

/**
 * Stops the parts one after the other, the last started first. Parts that do not stop are killed. Returns their names
 * with the reasons. Never rejects.
 */
export async function stopParts(parts: readonly Part[], { clock, withinMs }: StopOptions): Promise<string[]> {
  const left: string[] = [];
  for (const part of parts.toReversed()) {
    const failure = await settledWithin(clock, withinMs, (async () => await part.stop())()).then(
      (hasStopped) => hasStopped ? undefined : `not within ${withinMs} ms`,
      (error) => String(error),
    );
    if (failure === undefined) continue;
    left.push(`${part.name} (${failure})`);
    killParts([part]);
  }
  return left;
}

/** Kills all parts at once. */
export function killParts(parts: readonly Part[]): void {
  for (const part of parts) {
    try {
      part.kill?.();
    } catch {
      // It had already ended.
    }
  }
}
