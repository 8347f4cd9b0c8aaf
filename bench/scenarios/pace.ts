/** Tokens per second that reach the clients, compared with the floor, and how long a token is held back. */

import { ServerProcess } from "../host/server_process.ts";
import { ask, check } from "../load/answer.ts";
import { RawSocket } from "../load/raw_socket.ts";
import type { Script } from "../model/script.ts";
import { atLeastRow, differenceRow, type Row } from "../report/row.ts";
import { median } from "../report/statistics.ts";
import { ENTRIES, type Scenario, withAll } from "./scenario.ts";

const STREAMS = 20;
const PER_SECOND = [100, 400, 800];
/** Long enough that the tick at the end of an answer hardly counts. */
const SECONDS = 5;
/** The share of the floor's tokens per second that an answer must reach. */
const GOAL = 0.98;
const HELD_GOAL_MS = 150;

interface Pace {
  tokensPerSecond: number;
  /**
   * The longest time from one delta of an answer to the next, in milliseconds. If the rate is kept, no token is held
   * longer.
   */
  longestGapMs: number;
}

export const pace: Scenario = ({ modelPort, rounds, isQuick, onProgress }) => {
  const servers = [ENTRIES.floor, ENTRIES.ours].map((entry) => ServerProcess.start(entry, { modelPort }));
  return withAll(servers, async (servers) => {
    for (const server of servers) await measure(server, scriptOf(100, 1));
    const rows: Row[] = [];
    for (const perSecond of PER_SECOND) {
      const series = servers.map((): Pace[] => []);
      const script = scriptOf(perSecond, isQuick ? SECONDS / 2 : SECONDS);
      for (let round = 0; round < rounds; round++) {
        const order = [...servers.entries()];
        for (const [index, server] of round % 2 === 0 ? order : order.reverse()) {
          const measured = await measure(server, script);
          series[index]?.push(measured);
          onProgress(
            `round ${round + 1}, ${perSecond}/s, ${index === 0 ? "floor" : "ours"}: ` +
              `${measured.tokensPerSecond.toFixed(0)} tokens/s, ${
                measured.longestGapMs.toFixed(0)
              } ms at most`,
          );
        }
      }
      rows.push(...rowsOf(perSecond, series));
    }
    return rows;
  });
};

function rowsOf(perSecond: number, [floor = [], ours = []]: readonly Pace[][]): Row[] {
  const load = `${STREAMS} × ${perSecond}/s`;
  const gap = (paces: readonly Pace[]): number => median(paces.map(({ longestGapMs }) => longestGapMs));
  return [
    atLeastRow(`tokens a second, ${load}`, {
      floor: floor.map(({ tokensPerSecond }) => tokensPerSecond),
      ours: ours.map(({ tokensPerSecond }) => tokensPerSecond),
      unit: "/s",
      goal: GOAL,
    }),
    {
      ...differenceRow("  longest time between two deltas of an answer", {
        floor: gap(floor),
        ours: gap(ours),
        unit: "ms",
        goal: HELD_GOAL_MS,
      }),
      result: gap(ours),
      resultText: `${gap(ours).toFixed(0)} ms`,
    },
  ];
}

function scriptOf(perSecond: number, seconds: number): Script {
  return { tokens: perSecond * seconds, perSecond, perWrite: 1 };
}

async function measure(server: ServerProcess, script: Script): Promise<Pace> {
  const sockets = await Promise.all(Array.from({ length: STREAMS }, () => RawSocket.open(server.port)));
  const startedAt = performance.now();
  const answers = await Promise.all(sockets.map((socket) => ask(socket, script)));
  const seconds = (performance.now() - startedAt) / 1000;
  for (const socket of sockets) socket.close();
  for (const answer of answers) check(answer, script);
  return {
    tokensPerSecond: STREAMS * script.tokens / seconds,
    longestGapMs: Math.max(...answers.map(({ longestGapMs }) => longestGapMs)),
  };
}
