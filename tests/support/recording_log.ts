/** A log that keeps its entries. */

import type { Log, LogEntry } from "../../supabase/functions/_shared/ports/runtime.ts";

export class RecordingLog implements Log {
  readonly entries: LogEntry[] = [];

  write(entry: LogEntry): void {
    this.entries.push(entry);
  }

  /** The event names of the entries, in order. */
  get events(): string[] {
    return this.entries.map(({ event }) => event);
  }
}
