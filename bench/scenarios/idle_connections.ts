/**
 * The memory of an idle connection with its session, compared with a bare socket, in a worker of the platform's size.
 */

import { ServerProcess } from "../host/server_process.ts";
import { ask, check } from "../load/answer.ts";
import { RawSocket } from "../load/raw_socket.ts";
import { differenceRow, type Row } from "../report/row.ts";
import { ENTRIES, type Scenario, withAll } from "./scenario.ts";

/** The memory of a worker, in MB. */
const WORKER_MB = 256;
const FLAGS = [`--v8-flags=--expose-gc,--max-old-space-size=${WORKER_MB}`];
/** Connections that are opened at the same time. */
const AT_ONCE = 50;
const SETTLE_MS = 1000;
const SCRIPT = { tokens: 100, perSecond: 1000, perWrite: 1 };

interface Kept {
  heapKb: number;
  rssKb: number;
  /** Of the whole process, with every connection open. */
  totalHeapMb: number;
  totalRssMb: number;
}

export const idleConnections: Scenario = ({ modelPort, isQuick, onProgress }) => {
  const count = isQuick ? 1000 : 5000;
  const servers = [ENTRIES.bareSocket, ENTRIES.ours].map((entry) =>
    ServerProcess.start(entry, { modelPort, flags: FLAGS })
  );
  return withAll(servers, async ([bareServer, ourServer]) => {
    if (bareServer === undefined || ourServer === undefined) return [];
    const floor = await measure(bareServer, count, () => Promise.resolve());
    onProgress(`bare socket: ${floor.heapKb.toFixed(1)} KB of heap`);
    const ours = await measure(ourServer, count, async (socket) => check(await ask(socket, SCRIPT), SCRIPT));
    onProgress(`ours: ${ours.heapKb.toFixed(1)} KB of heap`);
    return [
      differenceRow("heap per idle connection with its session", {
        floor: floor.heapKb,
        ours: ours.heapKb,
        unit: "KB",
        goal: 5.5,
      }),
      differenceRow("  resident memory", {
        floor: floor.rssKb,
        ours: ours.rssKb,
        unit: "KB",
        goal: undefined,
      }),
      totalRow(
        `${count} connections in a worker of ${WORKER_MB} MB: heap`,
        floor.totalHeapMb,
        ours.totalHeapMb,
      ),
      totalRow("  resident memory of the process", floor.totalRssMb, ours.totalRssMb),
    ];
  });
};

function totalRow(what: string, floor: number, ours: number): Row {
  return {
    what,
    unit: "MB",
    floor,
    ours,
    result: ours,
    resultText: `${ours.toFixed(0)} MB`,
    goal: WORKER_MB,
  };
}

/** `use` shows that the last of them still works. */
async function measure(
  server: ServerProcess,
  count: number,
  use: (socket: RawSocket) => Promise<unknown>,
): Promise<Kept> {
  // What the first connection loads is shared, so it is not counted per connection.
  await use(await RawSocket.open(server.port));
  const before = await server.usedAfterCollection();
  const sockets: RawSocket[] = [];
  while (sockets.length < count) {
    const batch = Array.from({ length: AT_ONCE }, () => RawSocket.open(server.port, { bufferBytes: 1024 }));
    sockets.push(...await Promise.all(batch));
  }
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  const after = await server.usedAfterCollection();
  const last = sockets.at(-1);
  if (last !== undefined) await use(last);
  for (const socket of sockets) socket.close();
  return {
    heapKb: (after.heapBytes - before.heapBytes) / sockets.length / 1024,
    rssKb: (after.rssBytes - before.rssBytes) / sockets.length / 1024,
    totalHeapMb: after.heapBytes / 1_048_576,
    totalRssMb: after.rssBytes / 1_048_576,
  };
}
