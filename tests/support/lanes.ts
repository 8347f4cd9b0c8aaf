/**
 * Does the jobs in their order, at most `lanes` of them at a time, and hands each result to `onDone` as soon as it is
 * there. A job that throws ends all: the others are not waited for.
 */
export async function inLanes<Result>(
  jobs: readonly (() => Promise<Result>)[],
  lanes: number,
  onDone: (result: Result) => void,
): Promise<void> {
  const waiting = jobs.values();
  async function runLane(): Promise<void> {
    // All lanes take from one iterator, so each job is done once.
    for (const job of waiting) onDone(await job());
  }
  await Promise.all(Array.from({ length: lanes }, runLane));
}
