/**
 * CPU time of the server for an answer of 500 tokens that survives its worker. It is compared with the same build with
 * sessions in memory, and with one insert per token. The database and its REST run in another process, whose CPU time
 * is not counted.
 *
 * Both builds of ours answer at the same time. In turn, the side without a database would have the processor's caches to itself, and
 * whatever else the machine does would hit one side alone: the ratios of one build varied by 20 %. One insert per token keeps a core
 * busy, so it runs alone.
 */

import { ServerProcess } from "../host/server_process.ts";
import { ask, check } from "../load/answer.ts";
import { RawSocket } from "../load/raw_socket.ts";
import type { Script } from "../model/script.ts";
import { ProjectProcess } from "../project/process.ts";
import { ratioRow, type Row } from "../report/row.ts";
import { ENTRIES, type Scenario, type ScenarioOptions, withAll } from "./scenario.ts";

const SCRIPT: Script = { tokens: 500, perSecond: 100, perWrite: 1 };
const WARM_UP: Script = { ...SCRIPT, tokens: 150 };
const STREAMS = [4, 20];
const GOAL = 1.1;
/** The work after the end of an answer (the doorbell) is over by then. */
const SETTLE_MS = 150;
const SIDES = ["memory", "postgres", "insert per token"] as const;
/** How many of the sides, from the first on, answer at the same time. */
const TOGETHER = 2;

export const durableCpu: Scenario = async (options) => {
  const project = await ProjectProcess.start();
  try {
    const servers = [
      ServerProcess.start(ENTRIES.ours, { ...options, env: project.env("memory") }),
      ServerProcess.start(ENTRIES.ours, { ...options, env: project.env("postgres") }),
      ServerProcess.start(ENTRIES.insertPerToken, { ...options, env: project.env("postgres") }),
    ];
    return await withAll(servers, async (servers) => {
      for (const server of servers) await measure(server, 20, WARM_UP);
      const rows: Row[] = [];
      for (const streams of STREAMS) rows.push(...await compare(servers, streams, options));
      return rows;
    });
  } finally {
    await project.stop();
  }
};

async function compare(
  servers: readonly ServerProcess[],
  streams: number,
  { rounds, onProgress }: ScenarioOptions,
): Promise<Row[]> {
  const series = SIDES.map((): number[] => []);
  const measureAll = (some: readonly ServerProcess[]): Promise<number[]> =>
    Promise.all(some.map((server) => measure(server, streams, SCRIPT)));
  for (let round = 1; round <= rounds; round++) {
    const together = await measureAll(servers.slice(0, TOGETHER));
    const alone = await measureAll(servers.slice(TOGETHER));
    for (const [index, cpuMs] of [...together, ...alone].entries()) {
      series[index]?.push(cpuMs);
      onProgress(`round ${round}, ${streams} streams, ${SIDES[index]}: ${cpuMs.toFixed(1)} ms an answer`);
    }
  }
  const [memory = [], ours = [], inserts = []] = series;
  const load = `${streams} × 100/s`;
  return [
    ratioRow(`CPU per durable answer, ${load}, beside memory`, {
      floor: memory,
      ours,
      unit: "ms",
      goal: GOAL,
    }),
    ratioRow("  beside one insert per token", { floor: inserts, ours, unit: "ms", goal: undefined }),
  ];
}

/** Milliseconds per answer. Each answer has a session of its own that was opened before. */
async function measure(server: ServerProcess, streams: number, script: Script): Promise<number> {
  const sockets = await Promise.all(Array.from({ length: streams }, () => RawSocket.open(server.port)));
  const before = await server.used();
  const answers = await Promise.all(sockets.map((socket) => ask(socket, script)));
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  const after = await server.used();
  for (const socket of sockets) socket.close();
  for (const answer of answers) check(answer, script);
  return (after.cpuUs - before.cpuUs) / 1000 / streams;
}
