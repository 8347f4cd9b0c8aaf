/** The time from the query to its first delta. The model answers at once, so only our own delay is measured. */

import { ServerProcess } from "../host/server_process.ts";
import { ask, check } from "../load/answer.ts";
import { RawSocket } from "../load/raw_socket.ts";
import type { Script } from "../model/script.ts";
import { differenceRow } from "../report/row.ts";
import { median, quantile } from "../report/statistics.ts";
import { ENTRIES, type Scenario, withAll } from "./scenario.ts";

const SCRIPT: Script = { tokens: 4, perSecond: 1000, perWrite: 1 };
const WARM_UP = 50;
const PAUSE_MS = 3;

export const firstDelta: Scenario = ({ modelPort, isQuick }) => {
  const servers = [ENTRIES.floor, ENTRIES.ours].map((entry) => ServerProcess.start(entry, { modelPort }));
  return withAll(servers, async (servers) => {
    const series: [number[], number[]] = [[], []];
    const samples = isQuick ? 150 : 600;
    for (let sample = -WARM_UP; sample < samples; sample++) {
      for (const [index, server] of servers.entries()) {
        const ms = await measure(server.port);
        if (sample >= 0) series[index]?.push(ms);
      }
    }
    const [floor, ours] = series;
    const values = (share: number): { floor: number; ours: number } => ({
      floor: quantile(floor, share),
      ours: quantile(ours, share),
    });
    return [
      differenceRow("first delta after the query, median", {
        floor: median(floor),
        ours: median(ours),
        unit: "ms",
        goal: 0.3,
      }),
      differenceRow("  99th percentile", { ...values(0.99), unit: "ms", goal: undefined }),
    ];
  });
};

async function measure(port: number): Promise<number> {
  const socket = await RawSocket.open(port);
  await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  const answer = await ask(socket, SCRIPT);
  socket.close();
  check(answer, SCRIPT);
  return answer.firstDeltaMs;
}
