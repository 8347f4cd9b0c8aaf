/**
 * The time from process start to the first frame, and to the end of a first answer. V8's code cache is off: the
 * platform often starts workers from source.
 */

import { ServerProcess } from "../host/server_process.ts";
import { ask, check } from "../load/answer.ts";
import { RawSocket } from "../load/raw_socket.ts";
import type { Script } from "../model/script.ts";
import { ratioRow, type Row } from "../report/row.ts";
import { ENTRIES, type Scenario } from "./scenario.ts";

const FLAGS = ["--no-code-cache"];
const SCRIPT: Script = { tokens: 4, perSecond: 1000, perWrite: 1 };

interface Start {
  /** From the process's start to the first frame. */
  wallMs: number;
  /** From the import to the first frame: the runtime's own start is not part of the comparison. */
  importWallMs: number;
  importCpuMs: number;
  /** From the import to the end of an answer. */
  answerCpuMs: number;
}

export const coldStart: Scenario = async ({ modelPort, isQuick, onProgress }) => {
  const empty: Start[] = [];
  const floor: Start[] = [];
  const ours: Start[] = [];
  const starts = isQuick ? 8 : 25;
  // The first start of each entry fills Deno's module cache.
  for (let start = -1; start < starts; start++) {
    const isKept = start >= 0;
    for (
      const [entry, series] of [
        [ENTRIES.emptyFunction, empty],
        [ENTRIES.floor, floor],
        [ENTRIES.ours, ours],
      ] as const
    ) {
      const measured = await measure(entry, modelPort);
      if (isKept) series.push(measured);
    }
  }
  onProgress(`${starts} starts each`);
  const row = (
    what: string,
    pick: (start: Start) => number,
    beside = { series: empty, goal: 1.1 as number | undefined },
  ): Row =>
    ratioRow(what, { floor: beside.series.map(pick), ours: ours.map(pick), unit: "ms", goal: beside.goal });
  return [
    row("cold start, process to first frame, wall", (start) => start.wallMs),
    row("  import to first frame, wall", (start) => start.importWallMs),
    row("  import to first frame, CPU", (start) => start.importCpuMs),
    row("  import to the end of a first answer, CPU", (start) => start.answerCpuMs, {
      series: floor,
      goal: undefined,
    }),
  ];
};

async function measure(entry: string, modelPort: number): Promise<Start> {
  const server = await ServerProcess.start(entry, { modelPort, flags: FLAGS });
  try {
    const socket = await RawSocket.open(server.port);
    const { cpuUs, wallMs } = await server.used();
    let answerCpuMs = NaN;
    if (entry !== ENTRIES.emptyFunction) {
      check(await ask(socket, SCRIPT), SCRIPT);
      answerCpuMs = ((await server.used()).cpuUs - server.atStart.cpuUs) / 1000;
    }
    socket.close();
    return {
      wallMs,
      importWallMs: wallMs - server.atStart.wallMs,
      importCpuMs: (cpuUs - server.atStart.cpuUs) / 1000,
      answerCpuMs,
    };
  } finally {
    await server.stop();
  }
}
