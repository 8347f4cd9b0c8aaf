/** From nothing to the first frame, V8's code cache off: the platform starts workers from source, and often. */

import { ServerProcess } from "../host/server_process.ts";
import { RawSocket } from "../load/raw_socket.ts";
import { ratioRow } from "../report/row.ts";
import { ENTRIES, type Scenario } from "./scenario.ts";

const FLAGS = ["--no-code-cache"];

interface Start {
  /** From the process's start. */
  wallMs: number;
  /** From the import on: the runtime's own start is nobody's merit. */
  importWallMs: number;
  importCpuMs: number;
}

export const coldStart: Scenario = async ({ modelPort, isQuick, onProgress }) => {
  const series: [Start[], Start[]] = [[], []];
  const starts = isQuick ? 8 : 25;
  // The first of each fills Deno's cache of modules.
  for (let start = -1; start < starts; start++) {
    for (const [index, entry] of [ENTRIES.emptyFunction, ENTRIES.ours].entries()) {
      const measured = await measure(entry, modelPort);
      if (start >= 0) series[index]?.push(measured);
    }
  }
  const [floor, ours] = series;
  onProgress(`${starts} starts each`);
  const row = (what: string, pick: (start: Start) => number): ReturnType<typeof ratioRow> =>
    ratioRow(what, { floor: floor.map(pick), ours: ours.map(pick), unit: "ms", goal: 1.1 });
  return [
    row("cold start, process to first frame, wall", (start) => start.wallMs),
    row("  import to first frame, wall", (start) => start.importWallMs),
    row("  import to first frame, CPU", (start) => start.importCpuMs),
  ];
};

async function measure(entry: string, modelPort: number): Promise<Start> {
  const server = await ServerProcess.start(entry, { modelPort, flags: FLAGS });
  try {
    const socket = await RawSocket.open(server.port);
    const { cpuUs, wallMs } = await server.used();
    socket.close();
    return {
      wallMs,
      importWallMs: wallMs - server.atStart.wallMs,
      importCpuMs: (cpuUs - server.atStart.cpuUs) / 1000,
    };
  } finally {
    await server.stop();
  }
}
