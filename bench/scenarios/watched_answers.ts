/**
 * How many posts to Realtime a worker makes for 40 answers of 20 tokens per second that are all watched at another
 * worker, and how many of them are refused by a Realtime with the smallest plan's limit.
 */

import { ServerProcess } from "../host/server_process.ts";
import { ask, check } from "../load/answer.ts";
import { sessionOf } from "../load/missed_session.ts";
import { RawSocket } from "../load/raw_socket.ts";
import type { Script } from "../model/script.ts";
import { ProjectProcess } from "../project/process.ts";
import { invalid } from "../report/invalid.ts";
import { ENTRIES, type Scenario, withAll } from "./scenario.ts";

const ANSWERS = 40;
const PER_SECOND = 20;
/** The default of `RELAY_MESSAGES_PER_SECOND`. */
const GOAL = 20;
/** A worker starts below its maximum rate. */
const WARM_UP_MS = 15_000;
/** Must be over before the first of the answers ends. */
const MEASURED_MS = { quick: 10_000, whole: 40_000 };
const END_MS = 10_000;

export const watchedAnswers: Scenario = async ({ modelPort, isQuick, onProgress }) => {
  const measuredMs = isQuick ? MEASURED_MS.quick : MEASURED_MS.whole;
  const tokens = PER_SECOND * (WARM_UP_MS + measuredMs + END_MS) / 1000;
  const script: Script = { tokens, perSecond: PER_SECOND, perWrite: 1 };
  const project = await ProjectProcess.start();
  try {
    const start = (): Promise<ServerProcess> =>
      ServerProcess.start(ENTRIES.ours, { modelPort, env: project.env("postgres") });
    return await withAll([start(), start()], async ([writer, other]) => {
      if (writer === undefined || other === undefined) throw invalid("a worker did not start");
      const sockets = await Promise.all(Array.from({ length: ANSWERS }, () => RawSocket.open(writer.port)));
      const watchers = await Promise.all(sockets.map((socket) => watch(socket, other.port)));
      const asked = Promise.all(sockets.map((socket) => ask(socket, script)));
      const watched = Promise.all(watchers.map((watcher) => ended(watcher)));
      await pause(WARM_UP_MS);
      const before = await postsOf(writer, project);
      const startedAt = performance.now();
      await pause(measuredMs);
      const posts = await postsOf(writer, project) - before;
      const perSecond = posts * 1000 / (performance.now() - startedAt);
      for (const answer of await asked) check(answer, script);
      await watched;
      for (const { frames } of watchers) check({ frames }, script);
      const { published, refused, closed } = await project.realtime();
      onProgress(`${published} posts of both workers in all, ${refused} refused, ${closed} channels closed`);
      for (const socket of [...sockets, ...watchers]) socket.close();
      const told = { unit: "", floor: undefined };
      return [
        {
          ...told,
          what: `posts to Realtime a second, ${ANSWERS} watched answers`,
          ours: perSecond,
          result: perSecond,
          resultText: `${perSecond.toFixed(1)} a second`,
          goal: GOAL,
        },
        { ...told, what: "  refused", ours: refused, result: refused, resultText: String(refused), goal: 0 },
      ];
    });
  } finally {
    await project.stop();
  }
};

/** Opens the same session at another worker. */
async function watch(socket: RawSocket, port: number): Promise<RawSocket> {
  const { sessionId, resumeToken } = sessionOf(socket);
  const path = `/?stream=true&session_id=${sessionId}&resume_token=${resumeToken}&last_seq=0`;
  return await RawSocket.open(port, { path });
}

/** Resolves with the response. */
async function ended(watcher: RawSocket): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  watcher.onFrame = (payload) => {
    if (new TextDecoder().decode(payload.subarray(0, 20)).startsWith('{"type":"response"')) resolve();
  };
  await promise;
}

/** The worker's own count of its posts. */
async function postsOf({ port }: ServerProcess, { secretKey }: ProjectProcess): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${port}/metrics`, { headers: { apikey: secretKey } });
  const [, posts] =
    /^agent_websocket_relay_posts_total\{outcome="taken"\} (\d+)$/m.exec(await response.text()) ??
      [];
  if (posts === undefined) throw invalid("a worker does not say what it has posted");
  return Number(posts);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
