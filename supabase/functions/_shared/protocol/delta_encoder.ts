/** Encodes `delta` and `reasoning` frames. Most frames are deltas, so only the parts that change are encoded each time. */

import { stamp } from "./render.ts";

/** Encodes the deltas, or the reasoning, of one turn: `offset` is the UTF-16 index at which `content` starts, `at` is in milliseconds. */
export function deltaEncoder(
  turnId: string,
  queryId: string,
  type: "delta" | "reasoning" = "delta",
): (offset: number, content: string, at: number) => string {
  const start = `{"type":"${type}","turn_id":${JSON.stringify(turnId)},"in_reply_to":${
    JSON.stringify(queryId)
  },"offset":`;
  return (offset, content, at) =>
    `${start}${offset},"timestamp":"${stamp(at)}","content":${JSON.stringify(content)}}`;
}
