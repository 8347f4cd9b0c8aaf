/** The retention, in steps that hold no lock for long. */

/** Rows that one step deletes. */
const STEP_ROWS = 5000;
/** Steps at a time; the next time goes on where these ended. */
const MAX_STEPS = 20;

/** What the retention has done. */
export interface Pruned {
  /** Abandoned turns, ended as `interrupted`. */
  turns: number;
  sessions: number;
  /** Events of sessions that live on. */
  events: number;
  /** Rows of all kinds. */
  rows: number;
  /** Whether there is more to do. */
  more: boolean;
}

/** Calls `step` with the rows that it may delete, until nothing is left or 20 steps were made. Rejects as `step` does. */
export async function pruneInSteps(step: (limit: number) => Promise<Pruned>): Promise<Pruned> {
  let sum: Pruned = { turns: 0, sessions: 0, events: 0, rows: 0, more: true };
  for (let n = 0; n < MAX_STEPS && sum.more; n++) {
    const { turns, sessions, events, rows, more } = await step(STEP_ROWS);
    sum = {
      turns: sum.turns + turns,
      sessions: sum.sessions + sessions,
      events: sum.events + events,
      rows: sum.rows + rows,
      more,
    };
  }
  return sum;
}
