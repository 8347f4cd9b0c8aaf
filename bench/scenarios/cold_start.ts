/**
 * The time from process start to the first frame, and to the end of a first answer, of our source and of the bundle that
 * `deno task bundle` makes of it. V8's code cache is off: the platform often starts workers from source.
 */

import { ServerProcess } from "../host/server_process.ts";
import { ask, check } from "../load/answer.ts";
import { RawSocket } from "../load/raw_socket.ts";
import type { Script } from "../model/script.ts";
import { ratioRow, type Row } from "../report/row.ts";
import { buildBundle } from "../../tests/support/deploy_bundle.ts";
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
  const bundle = await buildBundle();
  try {
    const entries = {
      empty: ENTRIES.emptyFunction,
      floor: ENTRIES.floor,
      ours: ENTRIES.ours,
      bundle: new URL("supabase/functions/agent_websocket/index.js", bundle).href,
    };
    const all: Record<keyof typeof entries, Start[]> = { empty: [], floor: [], ours: [], bundle: [] };
    const starts = isQuick ? 8 : 25;
    // The first start of each entry fills Deno's module cache.
    for (let start = -1; start < starts; start++) {
      for (const name of ["empty", "floor", "ours", "bundle"] as const) {
        const measured = await measure(entries[name], modelPort);
        if (start >= 0) all[name].push(measured);
      }
    }
    onProgress(`${starts} starts each`);
    return [
      ...rowsOf("cold start", all.ours, all),
      ...rowsOf("cold start of the bundle", all.bundle, all),
    ];
  } finally {
    await Deno.remove(bundle, { recursive: true });
  }
};

function rowsOf(name: string, ours: Start[], { empty, floor }: Record<"empty" | "floor", Start[]>): Row[] {
  const row = (what: string, pick: (start: Start) => number, beside = { series: empty, goal: 1.1 }): Row =>
    ratioRow(what, { floor: beside.series.map(pick), ours: ours.map(pick), unit: "ms", goal: beside.goal });
  return [
    row(`${name}, process to first frame, wall`, (start) => start.wallMs),
    row("  import to first frame, wall", (start) => start.importWallMs),
    row("  import to first frame, CPU", (start) => start.importCpuMs),
    row("  import to the end of a first answer, CPU", (start) => start.answerCpuMs, {
      series: floor,
      goal: 2.5,
    }),
  ];
}

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
