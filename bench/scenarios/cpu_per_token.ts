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

export const batched = cpuPerToken("batched: 20 × 100/s, 8 a write", BATCHED, 0.65, [{
  entry: ENTRIES.oursUncoalesced,
  what: "  against our build with coalescing off",
  goal: 0.7,
}]);

/** Another build that ours is compared with. */
interface Rival {
  /** A path from `bench/host/`, or a URL. */
  entry: string;
  /** The name of its row. */
  what: string;
  goal: number | undefined;
}

function cpuPerToken(
  name: string,
  load: Load,
  goal: number | undefined,
  rivals: readonly Rival[] = [],
): Scenario {
  return async (options): Promise<readonly Row[]> => {
    const floor = { entry: ENTRIES.floor, what: `CPU per token, ${name}`, goal };
    const all = [floor, ...rivals, ...earlierBuild(options)];
    const entries = [ENTRIES.ours, ...all.map(({ entry }) => entry)];
    const [ours = [], ...others] = await measureInTurn(entries, load, options);
    return all.map(({ what, goal }, index) =>
      ratioRow(what, { floor: others[index] ?? [], ours, unit: "µs", goal })
    );
  };
}

function earlierBuild({ against }: ScenarioOptions): Rival[] {
  if (against === undefined) return [];
  const entry = new URL("supabase/functions/agent_websocket/index.ts", against).href;
  return [{ entry, what: "  against the build of --against", goal: undefined }];
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
