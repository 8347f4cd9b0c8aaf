/** The end of what a run has started: within bounds, whatever it does. */

import type { Clock } from "../../supabase/functions/_shared/ports/runtime.ts";
import { settledWithin } from "../../supabase/functions/_shared/settled_within.ts";

/** Something that was started and has to be stopped. */
export interface Part {
  /** For messages, such as `PostgreSQL`. */
  name: string;
  stop(): Promise<void> | void;
  /** Ends what is left of it at once. */
  kill?(): void;
}

export interface StopOptions {
  clock: Pick<Clock, "after">;
  /** How long each may take, in milliseconds. */
  withinMs: number;
}

/**
 * Stops the parts one after the other, the last that was started first. Answers what did not stop, by name and with the reason;
 * that is killed. Never rejects.
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

/** Ends what is left of them at once. */
export function killParts(parts: readonly Part[]): void {
  for (const part of parts) {
    try {
      part.kill?.();
    } catch {
      // It had gone.
    }
  }
}
