/** The records of the clients in a chaos run, which the checker judges afterwards. All of it is plain data. */

import type { ModelReport } from "./model_report.ts";
import type { ClientResultRecord, DecisionRecord, LoggedCall, ToolKind } from "./tool_records.ts";
import type { ToolRun } from "./tool_runs.ts";

/** A durable event as a client or the log has it: the same event gives equal records. */
export interface DurableEvent {
  seq: number;
  kind:
    | "query"
    | "response"
    | "error"
    | "cancelled"
    | "cleared"
    | "notification"
    | "rewound"
    | ToolKind;
  /** The id of the query, the notification or the call, or "" for a clear; for `rewound` the id of the new query. */
  key: string;
  /**
   * The answer, a partial answer, or a notification's text; for a query the question, if it is known; for `rewound` the id of the
   * replaced query; for a call what every client is shown of it.
   */
  text?: string;
  /** The rest of an event of a call, as clients with `tools=true` are shown it. */
  detail?: string;
  /** For an error. */
  code?: string;
}

/** A durable frame, in the order of arrival. */
export interface SeenEvent extends DurableEvent {
  /** A status that answers a query: it contains the query's position, also if that was sent before. */
  isAck?: true;
  /** A repeated terminal frame, for an id that was sent again. */
  isReplay?: true;
}

/** One connection of a tab, from the welcome to its end. */
export interface Visit {
  /** When the welcome came, measured with `performance.now()`. */
  at: number;
  /** The cursor that the client sent. */
  lastSeq: number;
  /** The welcome's `resumed`; undefined on a first visit. */
  resumed?: { recovered: boolean; from_seq: number; to_seq: number; reason?: string | undefined };
  sessionId: string;
  events: SeenEvent[];
  /** Ids that were sent again on this connection. */
  resent: Set<string>;
}

export interface TabRecord {
  name: string;
  visits: Visit[];
  /** Faults that were detected at once, such as a delta after a hole. */
  faults: Fault[];
}

export interface QueryRecord {
  id: string;
  question: string;
  /** The id of the query whose place it takes. */
  replaces?: string;
  /** Measured with `performance.now()`. */
  sentAt: number;
  /** When the first tab saw its end. */
  endedAt?: number;
  /** Why it was never accepted. */
  refused?: string;
}

export interface ConversationRecord {
  name: string;
  sessionId: string;
  tabs: TabRecord[];
  queries: QueryRecord[];
  /** Ids of the notifications that were accepted with `durable: true`. */
  notices: string[];
  /** The titles that it was given, whether or not that was confirmed. */
  titles: string[];
  /** Whether one of them was confirmed. */
  isRenamed: boolean;
  /** The `sub` of its user; undefined if it is anonymous. */
  userId?: string;
  decisions: DecisionRecord[];
  clientResults: ClientResultRecord[];
}

/** A client tried to resume a session of another user. */
export interface AttackRecord {
  target: string;
  how: string;
  /** The answer they got, and the session they were given. */
  reason: string | undefined;
  sessionId: string;
}

/** A session as stored in the database. */
export interface LoggedSession {
  lastSeq: number;
  events: DurableEvent[];
  /** Turns without an end. */
  openTurns: string[];
  /** The title that its user has given it. */
  title?: string;
  /** How often turns were begun beyond the first time. */
  takeOvers: number;
  /** The same per query, for each query where it is not 0. */
  takeOversOf?: ReadonlyMap<string, number>;
  /** The tool calls, in the order of the log. */
  calls: LoggedCall[];
}

export interface Span {
  from: number;
  to: number;
}

export interface RunRecord {
  conversations: ConversationRecord[];
  attacks: AttackRecord[];
  model: ModelReport;
  /** By session; undefined if there is no database. */
  logs?: ReadonlyMap<string, LoggedSession>;
  /** The runs of tools; undefined if there is no database. */
  runs?: readonly ToolRun[];
  /** When workers were stopped, measured with `performance.now()`. */
  stalls: readonly Span[];
  /** How long a query may take, in milliseconds. */
  boundMs: number;
}

/** As in the table, the worst first. */
export const FAULT_KINDS = [
  "lost",
  "doubled",
  "reordered",
  "hung",
  "mismatched",
  "foreign",
  "late",
  "ran_twice",
  "unapproved",
  "unlogged",
  "decisions",
  "results",
  "unsettled",
  "unexplained",
] as const;

export interface Fault {
  kind: typeof FAULT_KINDS[number];
  /** The conversation's name; "" if the fault belongs to none. */
  conversation: string;
  detail: string;
}

export type Say = (kind: Fault["kind"], detail: string) => Fault;
