/** What the chaos model tells of a run. */

/** What the model has received and done, at `GET /report`. */
export interface ModelReport {
  /** The faults of each question, in the order of the requests. */
  faults: Record<string, string[]>;
  /** Requests for each question. */
  requests: Record<string, number>;
  /** How often the model was asked to continue an answer, in each way. */
  continuations: { prefill: number; anchored: number };
  /** Prompts that a correct agent does not send. */
  problems: string[];
  /** The results of tools that came with the requests, in the order of the calls. */
  told: { question: string; results: string[] }[];
  /** Every request, in order. One that failed has no first character. */
  streams: ModelStream[];
}

/** Times are in milliseconds since the epoch. */
export interface ModelStream {
  question: string;
  /** The numbers of the questions that came with it. */
  after: number[];
  /** When the first character was sent. */
  firstAt?: number;
  /** When the connection was lost in the middle of the answer. */
  lostAt?: number;
}

export function emptyReport(): ModelReport {
  return {
    faults: {},
    requests: {},
    continuations: { prefill: 0, anchored: 0 },
    problems: [],
    told: [],
    streams: [],
  };
}
