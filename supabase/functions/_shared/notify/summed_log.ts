/** Lines of the log that would come by the thousand, summed up. */

import type { CancelTimer, Clock, Log } from "../ports/runtime.ts";

export const SUM_MS = 10_000;

interface Sum {
  count: number;
  fields: Readonly<Record<string, unknown>>;
  cancel: CancelTimer;
}

/** The first of an event is written at once; those of the next ten seconds as one line, at their end. */
export class SummedLog {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #sums = new Map<string, Sum>();

  constructor(clock: Clock, log: Log) {
    this.#clock = clock;
    this.#log = log;
  }

  /** `count` more of the event have happened; of `fields` the last ones are written. */
  add(event: string, count: number, fields: Readonly<Record<string, unknown>> = {}): void {
    const sum = this.#sums.get(event);
    if (sum !== undefined) {
      sum.count += count;
      sum.fields = fields;
      return;
    }
    this.#log.write({ level: "warn", event, count, ...fields });
    this.#wait(event);
  }

  /** Writes what was not written yet, and leaves no timer behind. */
  flush(): void {
    for (const [event, { count, fields, cancel }] of this.#sums) {
      cancel();
      if (count > 0) this.#log.write({ level: "warn", event, count, ...fields });
    }
    this.#sums.clear();
  }

  #wait(event: string): void {
    const cancel = this.#clock.after(SUM_MS, () => {
      const { count = 0, fields = {} } = this.#sums.get(event) ?? {};
      this.#sums.delete(event);
      if (count === 0) return;
      this.#log.write({ level: "warn", event, count, ...fields });
      this.#wait(event);
    });
    this.#sums.set(event, { count: 0, fields: {}, cancel });
  }
}
