/** A client that relies only on PROTOCOL.md: how it interprets the frames of one connection. */

import type { SeenFrame, TestClient } from "./agent_harness.ts";

/** The protocol faults in a connection's frames, and the client's state at the end. */
export interface Reading {
  faults: string[];
  /** The text of each turn: from its deltas, then from its `response`. */
  texts: ReadonlyMap<unknown, string>;
  /** The newest `seq` received. */
  newest: number;
}

/**
 * Reads the frames of a connection in order. `lastSeq` is the cursor it resumed from. `askedAt` maps each query to the
 * number of frames received before it was last sent.
 */
export function readPlainly(
  { frames }: Pick<TestClient, "frames">,
  lastSeq: number,
  askedAt: ReadonlyMap<string, number>,
): Reading {
  const reading = { faults: [] as string[], texts: new Map<unknown, string>(), newest: lastSeq };
  /** By query, the index of the frame. */
  const ended = new Map<unknown, number>();
  const { faults, texts } = reading;
  for (const [index, frame] of frames.entries()) {
    const { type, code, in_reply_to: queryId, turn_id: turnId } = frame;
    const say = (what: string): void => void faults.push(`${what}: frame ${index} ${JSON.stringify(frame)}`);
    const endedAt = ended.get(queryId);
    if (typeof frame.seq === "number") {
      if (frame.seq > reading.newest + 1) say(`ahead of ${reading.newest}`);
      reading.newest = Math.max(reading.newest, frame.seq);
    }
    if (type === "delta") {
      const { offset = 0 } = frame as SeenFrame & { offset?: number };
      const text = texts.get(turnId) ?? "";
      if (endedAt !== undefined) say("a delta after the end");
      if (offset > text.length) say(`a delta beyond ${text.length}`);
      texts.set(turnId, text.slice(0, offset) + frame.content);
    } else if (isTerminal(frame)) {
      if (frame.replay === undefined) ended.set(queryId, index);
      if (type === "response") {
        const text = texts.get(turnId) ?? "";
        if (!frame.content.startsWith(text)) say(`deltas ${JSON.stringify(text)}`);
        texts.set(turnId, frame.content);
      }
    } else if (endedAt !== undefined && (askedAt.get(String(queryId)) ?? 0) <= endedAt) {
      if (type === "error") say("an error after the end");
      if (code === "thinking" || code === "queued") say("a status after the end");
    }
  }
  return reading;
}

function isTerminal(frame: SeenFrame): boolean {
  const isEnd = frame.type === "response" || frame.type === "error" ||
    (frame.type === "status" && frame.code === "cancelled");
  return isEnd && frame.seq !== undefined;
}
