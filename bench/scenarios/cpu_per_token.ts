/** CPU time of the server for each token of the model, at four paces. */

import { ServerProcess } from "../host/server_process.ts";
import { ask, check } from "../load/answer.ts";
import { RawSocket } from "../load/raw_socket.ts";
import type { Script } from "../model/script.ts";
import { ratioRow, type Row } from "../report/row.ts";
import { ENTRIES, type Scenario, type ScenarioOptions, withAll } from "./scenario.ts";

interface Load {
  streams: number;
  /** `tokens` of each stream in one round. */
  script: Script;
}

const LIGHT: Load = { streams: 4, script: { tokens: 400, perSecond: 100, perWrite: 1 } };
const PACED: Load = { streams: 20, script: { tokens: 400, perSecond: 100, perWrite: 1 } };
const BATCHED: Load = { streams: 20, script: { tokens: 400, perSecond: 100, perWrite: 8 } };
const WARM_UP = PACED;
const FLOOD: Load = { streams: 4, script: { tokens: 10_000, perSecond: 0, perWrite: 1 } };

export const light = cpuPerToken("light: 4 × 100/s", LIGHT, 0.95);
export const paced = cpuPerToken("paced: 20 × 100/s", PACED, 0.5);
export const flood = cpuPerToken("flood: 4 streams", FLOOD, undefined);

export const batched: Scenario = async (options) => {
  const name = "batched: 20 × 100/s, 8 a write";
  const series = await measureInTurn(
    [ENTRIES.floor, ENTRIES.ours, ENTRIES.oursUncoalesced],
    BATCHED,
    options,
  );
  const [floor = [], ours = [], uncoalesced = []] = series;
  return [
    ratioRow(`CPU per token, ${name}`, { floor, ours, unit: "µs", goal: 0.65 }),
    ratioRow("  against our build with coalescing off", { floor: uncoalesced, ours, unit: "µs", goal: 0.7 }),
  ];
};

function cpuPerToken(name: string, load: Load, goal: number | undefined): Scenario {
  return async (options): Promise<readonly Row[]> => {
    const [floor = [], ours = []] = await measureInTurn([ENTRIES.floor, ENTRIES.ours], load, options);
    return [ratioRow(`CPU per token, ${name}`, { floor, ours, unit: "µs", goal })];
  };
}

/**
 * Each round measures every entry once, in alternating order. Returns µs per token, by entry. All entries are warmed up
 * in the same way first: V8's compiler should be done with them.
 */
function measureInTurn(
  entries: readonly string[],
  load: Load,
  options: ScenarioOptions,
): Promise<number[][]> {
  const { modelPort, rounds, isQuick, onProgress } = options;
  const factor = isQuick ? 0.5 : 1;
  const servers = entries.map((entry) => ServerProcess.start(entry, { modelPort }));
  return withAll(servers, async (servers) => {
    const series = entries.map((): number[] => []);
    for (const server of servers) await measure(server, shortened(WARM_UP, factor));
    for (let round = 0; round < rounds; round++) {
      const order = [...servers.entries()];
      for (const [index, server] of round % 2 === 0 ? order : order.reverse()) {
        const cpuUs = await measure(server, shortened(load, factor));
        series[index]?.push(cpuUs);
        onProgress(`round ${round + 1}, ${entries[index]}: ${cpuUs.toFixed(1)} µs a token`);
      }
    }
    return series;
  });
}

function shortened({ streams, script }: Load, factor: number): Load {
  return { streams, script: { ...script, tokens: script.tokens * factor } };
}

async function measure(server: ServerProcess, { streams, script }: Load): Promise<number> {
  const sockets = await Promise.all(Array.from({ length: streams }, () => RawSocket.open(server.port)));
  const before = await server.used();
  const answers = await Promise.all(sockets.map((socket) => ask(socket, script)));
  const after = await server.used();
  for (const socket of sockets) socket.close();
  for (const answer of answers) check(answer, script);
  return (after.cpuUs - before.cpuUs) / (streams * script.tokens);
}
