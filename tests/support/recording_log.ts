/** A log that keeps what was written. */

import type { Log, LogEntry } from "../../supabase/functions/_shared/ports/runtime.ts";

export class RecordingLog implements Log {
  readonly entries: LogEntry[] = [];

  write(entry: LogEntry): void {
    this.entries.push(entry);
  }

  /** The names of what was written, in order. */
  get events(): string[] {
    return this.entries.map(({ event }) => event);
  }
}
