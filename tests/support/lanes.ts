/**
 * Runs the jobs in order, at most `lanes` at a time, and passes each result to `onDone` as soon as it is there. If a
 * job throws, this rejects at once and does not wait for the other jobs.
 */
export async function inLanes<Result>(
  jobs: readonly (() => Promise<Result>)[],
  lanes: number,
  onDone: (result: Result) => void,
): Promise<void> {
  const waiting = jobs.values();
  async function runLane(): Promise<void> {
    // All lanes share one iterator, so each job runs once.
    for (const job of waiting) onDone(await job());
  }
  await Promise.all(Array.from({ length: lanes }, runLane));
}
