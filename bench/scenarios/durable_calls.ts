/**
 * The calls to the project for one answer of 500 tokens: alone, and while 20 sessions of the worker have one answer
 * each.
 */

import { ServerProcess } from "../host/server_process.ts";
import { ask, check } from "../load/answer.ts";
import { RawSocket } from "../load/raw_socket.ts";
import type { Script } from "../model/script.ts";
import type { Counts } from "../project/call_counts.ts";
import { ProjectProcess } from "../project/process.ts";
import type { Row } from "../report/row.ts";
import { ENTRIES, type Scenario } from "./scenario.ts";

const SCRIPT: Script = { tokens: 500, perSecond: 100, perWrite: 1 };
/** The value of `CHECKPOINT_INTERVAL_MS`. */
const CHECKPOINT_MS = 500;
const STREAMS = [1, 20];
const SETTLE_MS = 300;

export const durableCalls: Scenario = async ({ modelPort, onProgress }) => {
  const project = await ProjectProcess.start();
  try {
    const server = await ServerProcess.start(ENTRIES.ours, { modelPort, env: project.env("postgres") });
    try {
      const rows: Row[] = [];
      for (const streams of STREAMS) {
        const { opening, answers, seconds } = await count(server, project, streams);
        onProgress(`${streams} at once: ${describe(opening)}; then ${describe(answers)}`);
        rows.push(...rowsOf(streams, seconds, answers));
      }
      return rows;
    } finally {
      await server.stop();
    }
  } finally {
    await project.stop();
  }
};

async function count(
  server: ServerProcess,
  project: ProjectProcess,
  streams: number,
): Promise<{ opening: Counts; answers: Counts; seconds: number }> {
  await project.takeCounts();
  const sockets = await Promise.all(Array.from({ length: streams }, () => RawSocket.open(server.port)));
  await settle();
  const opening = await project.takeCounts();
  const startedAt = performance.now();
  const asked = await Promise.all(sockets.map((socket) => ask(socket, SCRIPT)));
  const seconds = (performance.now() - startedAt) / 1000;
  await settle();
  const answers = await project.takeCounts();
  for (const socket of sockets) socket.close();
  for (const answer of asked) check(answer, SCRIPT);
  return { opening, answers, seconds };
}

function rowsOf(streams: number, seconds: number, counts: Counts): Row[] {
  const { relay = { calls: 0 }, ...calls } = counts;
  const total = Object.values(calls).reduce((sum, { calls }) => sum + calls, 0);
  const load = streams === 1 ? "alone" : `${streams} at once`;
  const told = { unit: "calls", floor: undefined };
  return [
    {
      ...told,
      what: `database calls per answer of 500 tokens, ${load}`,
      // One row per token, and one for the end.
      floor: SCRIPT.tokens + 1,
      ours: total / streams,
      result: total / streams,
      resultText: describe(calls),
      // The beginning, the end, and a share of the checkpoints, which all answers have in common.
      goal: 2 + Math.floor(seconds * 1000 / CHECKPOINT_MS) / streams,
    },
    {
      ...told,
      what: "  posts to Realtime",
      ours: relay.calls / streams,
      result: relay.calls / streams,
      resultText: `relay ${relay.calls}`,
      goal: undefined,
    },
  ];
}

function describe(counts: Counts): string {
  const names = Object.keys(counts).sort();
  return names.map((name) => `${name.replace("commit: ", "")} ${counts[name]?.calls}`).join(", ");
}

function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
}
