/** Encodes `delta` and `reasoning` frames. Most frames are deltas, so only the parts that change are encoded each time. */

import { stamp } from "./stamp.ts";

/**
 * How a frame is written. `plain`: with the ids of its turn and the time. `named`: the same with the turn's `ref`, which the short frames
 * after it have. `short`: with `ref` only.
 */
export type DeltaForm = "plain" | "named" | "short";

/** The turn of a delta. */
export interface DeltaTurn {
  turnId: string;
  queryId: string;
  /** A number of the turn that no other turn of the connection has. */
  ref: number;
}

/** `offset` is the UTF-16 index at which `content` starts, `at` is in milliseconds since the epoch. */
export type EncodeDelta = (form: DeltaForm, offset: number, content: string, at: number) => string;

/** Encodes the deltas, or the reasoning, of one turn. */
export function deltaEncoder(
  { turnId, queryId, ref }: DeltaTurn,
  type: "delta" | "reasoning" = "delta",
): EncodeDelta {
  const start = `{"type":"${type}",`;
  const named = `"ref":${ref},`;
  const rest = `"turn_id":${JSON.stringify(turnId)},"in_reply_to":${JSON.stringify(queryId)},"offset":`;
  const starts = { plain: start + rest, named: start + named + rest, short: `${start}${named}"offset":` };
  return (form, offset, content, at) => {
    const time = form === "short" ? "" : `"timestamp":"${stamp(at)}",`;
    return `${starts[form]}${offset},${time}"content":${JSON.stringify(content)}}`;
  };
}
