/** Bytes on the wire for each token of four characters, in both forms of deltas, and in the frames of other libraries. */

import { JsonToSseTransformStream } from "ai";
import { ServerProcess } from "../host/server_process.ts";
import { ask, check, isDelta } from "../load/answer.ts";
import { RawSocket } from "../load/raw_socket.ts";
import type { Script } from "../model/script.ts";
import { invalid } from "../report/invalid.ts";
import type { Row } from "../report/row.ts";
import { ENTRIES, type Scenario, withAll } from "./scenario.ts";

const WORD = "word";
/** Slow enough that each token is a delta of its own: merged ones would make the average meaningless. */
const SCRIPT: Script = { tokens: 200, perSecond: 50, perWrite: 1, word: WORD };
const MAX_MERGED = 0.1;
/** The offset in the middle of an answer of 500 tokens, for the frames of other libraries. */
const OFFSET = 1000;
const UNIT = "B";
const GOAL = 75;

export const bytesPerToken: Scenario = ({ modelPort }) => {
  const servers = [ENTRIES.floor, ENTRIES.ours].map((entry) => ServerProcess.start(entry, { modelPort }));
  return withAll(servers, async ([floorServer, server]) => {
    if (floorServer === undefined || server === undefined) throw invalid("a server did not start");
    const floor = await measure(floorServer.port, "/");
    const full = await measure(server.port, "/?stream=true");
    const short = await measure(server.port, "/?stream=true&deltas=short");
    return [
      row("bytes per token of 4 characters, deltas=short", { floor, ours: short, goal: GOAL }),
      row("  without the parameter", { floor, ours: full, goal: undefined }),
      row("  deltas=short against Socket.IO", { floor: socketIoBytes(), ours: short, goal: undefined }),
      row("  deltas=short against the AI SDK's events", {
        floor: await sdkBytes(),
        ours: short,
        goal: undefined,
      }),
    ];
  });
};

async function measure(port: number, path: string): Promise<number> {
  const socket = await RawSocket.open(port, { path });
  const answer = await ask(socket, SCRIPT);
  socket.close();
  const deltas = check(answer, SCRIPT);
  if (deltas < (1 - MAX_MERGED) * SCRIPT.tokens) throw invalid(`${deltas} deltas of ${SCRIPT.tokens} tokens`);
  return answer.frames.filter(isDelta).reduce((sum, payload) => sum + onWire(payload.length), 0) /
    SCRIPT.tokens;
}

/** A server's WebSocket frame with its header (RFC 6455, 5.2). */
function onWire(payloadBytes: number): number {
  return payloadBytes + (payloadBytes < 126 ? 2 : payloadBytes < 65_536 ? 4 : 10);
}

/**
 * An `emit` of Socket.IO 4 over a WebSocket: `4` (message, Engine.IO protocol 4), `2` (event, Socket.IO protocol 5), then the name and the
 * arguments as a JSON array (https://socket.io/docs/v4/socket-io-protocol/).
 */
function socketIoBytes(): number {
  return onWire(`42${JSON.stringify(["delta", { offset: OFFSET, content: WORD }])}`.length);
}

/** A chunk of the AI SDK's UI message stream. `txt-0` is the id of a text part in its OpenAI-compatible provider. */
async function sdkBytes(): Promise<number> {
  const chunk = { type: "text-delta", id: "txt-0", delta: WORD };
  const [event = ""] = await Array.fromAsync(
    ReadableStream.from([chunk]).pipeThrough(new JsonToSseTransformStream()),
  );
  return event.length;
}

function row(what: string, values: Pick<Row, "goal"> & { floor: number; ours: number }): Row {
  const { ours } = values;
  return { what, unit: UNIT, ...values, result: ours, resultText: `${ours.toFixed(1)} ${UNIT}` };
}
