/** How a query stands, as the session of one worker knows: it waits, at which place, or it is being answered. */

import { renderStatus, type StatusFields } from "../protocol/render.ts";
import type { StatusFrame } from "../protocol/server_frames.ts";
import type { KnownQuery, QueryIndex } from "./query_index.ts";
import type { Runner } from "./runner.ts";
import type { Tail } from "./tail.ts";

interface Elsewhere {
  queries: QueryIndex;
  tail: Tail;
  /** Whether another worker has the session's turns. */
  isElsewhere: boolean;
  /** The turn that ran at another worker when this one came. */
  begunBefore: string | undefined;
}

/** The query that another worker answers, as far as is known here; undefined where none does. */
export function answeredElsewhere(
  { queries: { elsewhere }, tail, isElsewhere, begunBefore }: Elsewhere,
): KnownQuery | undefined {
  const byTurn = (turnId?: string): KnownQuery | undefined =>
    elsewhere.find((known) => known.turnId === turnId);
  const told = byTurn(tail.remote?.turnId);
  // Whoever holds the lease answers one: that which had been begun when this worker came, or the oldest.
  return told ?? (isElsewhere ? byTurn(begunBefore) ?? elsewhere[0] : undefined);
}

/** The `status` that answers a query: that it waits, or that it is being answered. */
export function acknowledge(
  queryId: string,
  at: number,
  { queries, runner, answeredElsewhere: running }: {
    queries: QueryIndex;
    runner: Runner;
    answeredElsewhere: KnownQuery | undefined;
  },
): StatusFrame {
  const known = queries.get(queryId);
  const fields: StatusFields = {
    in_reply_to: queryId,
    ...(known && { turn_id: known.turnId }),
    ...(known?.seq && { seq: known.seq }),
  };
  const queued = (position: number): StatusFrame =>
    renderStatus("queued", "Queued", at, { ...fields, data: { position } });
  if (known?.turn?.state === "queued") return queued(runner.queue.position(known.turn));
  const waiting = queries.elsewhere.filter((other) => other !== running);
  if (known !== undefined && waiting.includes(known)) return queued(waiting.indexOf(known) + 1);
  return renderStatus("thinking", "Thinking...", at, fields);
}
