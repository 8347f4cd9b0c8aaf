/** Limits by user that hold across workers. */

/** The usage of one user (or address) at this worker since the last report. */
export interface UseReport {
  /** Such as `user:<id>`. */
  key: string;
  /** Frames since the last report. */
  frames: number;
  /** When the first of these frames was counted, in milliseconds since the epoch. Any time if there are none. */
  framesSince: number;
  /** Connections that this worker holds now. */
  connections: number;
}

/** The usage of one key at all workers together. */
export interface QuotaUsage {
  /** Frames left in the bucket; below 0 where the workers together let more through. */
  framesLeft: number;
  connections: number;
}

/** Counts usage across all workers. Approximate: it does not include what a worker has not reported yet. */
export interface UseLedger {
  /** Books the reports, each once, and answers with the usage of each key. Rejects with `store_unavailable`. */
  report(reports: readonly UseReport[]): Promise<ReadonlyMap<string, QuotaUsage>>;
}
