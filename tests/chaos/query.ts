/** A question that a chaos client has asked, and its progress. */

import type { QueryRecord } from "./records.ts";

export interface Query {
  readonly record: QueryRecord;
  /** The frame's fields besides type, id and content. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** Its durable event, or a status with its `seq`, has arrived. */
  isAcknowledged: boolean;
  /** Its end has arrived, or will never arrive because the query was refused for good. */
  isOver: boolean;
}

export function queryFrame({ record, fields }: Query): string {
  return JSON.stringify({ type: "query", content: record.question, ...fields, id: record.id });
}
