/** A question that a chaos client has asked, and what it still has to do about it. */

import type { QueryRecord } from "./records.ts";

export interface Query {
  readonly record: QueryRecord;
  /** Of the frame, beside type, id and content. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** Its durable event, or a status with its `seq`, has come. */
  isAcknowledged: boolean;
  /** Its end has come, or will never: it was refused for good. */
  isOver: boolean;
}

export function queryFrame({ record, fields }: Query): string {
  return JSON.stringify({ type: "query", content: record.question, ...fields, id: record.id });
}
