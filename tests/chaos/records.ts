/** What the clients of a chaos run write down, for the checker to judge afterwards. All of it is plain data. */

import type { ModelReport } from "./model_thread.ts";

/** A durable event as a client or the log has it: the same event gives equal records. */
export interface DurableEvent {
  seq: number;
  kind: "query" | "response" | "error" | "cancelled" | "cleared" | "notification";
  /** The query's id, the notification's, or "" for a clearing. */
  key: string;
  /** The answer, what there is of one, or a notification's words; of a query the question, where it is told. */
  text?: string;
  /** Of an error. */
  code?: string;
}

/** A durable frame in the order in which it came. */
export interface SeenEvent extends DurableEvent {
  /** A status that answers a query: it tells where the query stands, also when it was sent before. */
  isAck?: true;
  /** A terminal frame again, for an id that was sent again. */
  isReplay?: true;
}

/** One connection of a tab, from the welcome to its end. */
export interface Visit {
  /** The cursor that it came with. */
  lastSeq: number;
  /** What the welcome said; undefined on a first visit. */
  resumed?: { recovered: boolean; from_seq: number; to_seq: number; reason?: string | undefined };
  sessionId: string;
  events: SeenEvent[];
  /** Ids that were sent again on this connection. */
  resent: Set<string>;
}

export interface TabRecord {
  name: string;
  visits: Visit[];
  /** What went against the rules on the spot, such as a delta after a hole. */
  faults: Fault[];
}

export interface QueryRecord {
  id: string;
  question: string;
  /** By the clock of `performance.now()`. */
  sentAt: number;
  /** When some tab first saw its end. */
  endedAt?: number;
  /** Why it was never taken. */
  refused?: string;
}

export interface ConversationRecord {
  name: string;
  sessionId: string;
  tabs: TabRecord[];
  queries: QueryRecord[];
  /** Notifications that were taken with `durable: true`, by their ids. */
  notices: string[];
}

/** A client tried to resume a session of another user. */
export interface AttackRecord {
  target: string;
  how: string;
  /** The answer they got, and the session they were given. */
  reason: string | undefined;
  sessionId: string;
}

/** A session as the database has it. */
export interface LoggedSession {
  lastSeq: number;
  events: DurableEvent[];
  /** Turns without an end. */
  openTurns: string[];
  /** How many times turns were begun beyond the first. */
  takeOvers: number;
  /** The same for each query for which it is not 0. */
  takeOversOf?: ReadonlyMap<string, number>;
}

export interface Span {
  from: number;
  to: number;
}

export interface RunRecord {
  conversations: ConversationRecord[];
  attacks: AttackRecord[];
  model: ModelReport;
  /** By session; undefined where there is no database. */
  logs?: ReadonlyMap<string, LoggedSession>;
  /** When workers stood still, by the clock of `performance.now()`. */
  stalls: readonly Span[];
  /** How long a query may take, in milliseconds. */
  boundMs: number;
}

/** In the words of the table, the worst first. */
export const FAULT_KINDS = [
  "lost",
  "doubled",
  "reordered",
  "hung",
  "mismatched",
  "foreign",
  "late",
  "unexplained",
] as const;

export interface Fault {
  kind: typeof FAULT_KINDS[number];
  /** The conversation's name; "" where it is none's. */
  conversation: string;
  detail: string;
}
