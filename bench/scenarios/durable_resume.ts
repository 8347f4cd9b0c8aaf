/**
 * How long a client that has missed 1,000 events waits for the last of them, from the first byte of its new connection.
 * It connects to a worker that has never seen the session, to the worker that holds it, and to one with sessions in
 * memory. The comparison is a bare `select` of the same number of rows with supabase-js.
 */

import { createClient } from "@supabase/supabase-js";
import { ServerProcess } from "../host/server_process.ts";
import { copiesOf, MISSED, type MissedSession, missEvents } from "../load/missed_session.ts";
import { RawSocket } from "../load/raw_socket.ts";
import { ProjectProcess } from "../project/process.ts";
import { invalid } from "../report/invalid.ts";
import { differenceRow, type Row } from "../report/row.ts";
import { quantile } from "../report/statistics.ts";
import { ENTRIES, type Scenario, withAll } from "./scenario.ts";

const GOAL_MS = 50;
const WARM_UP = 10;
const PAUSE_MS = 20;
const ARRIVAL_TIMEOUT_MS = 10_000;
const decoder = new TextDecoder();

/** One way to read the events. */
type Way = "select" | "memory" | "holder" | "other";
/** In milliseconds. */
type Times = Record<Way, number>;

export const durableResume: Scenario = async ({ modelPort, isQuick, onProgress }) => {
  const project = await ProjectProcess.start();
  const start = (store: "memory" | "postgres"): Promise<ServerProcess> =>
    ServerProcess.start(ENTRIES.ours, { modelPort, env: project.env(store) });
  try {
    return await withAll([start("memory"), start("postgres"), start("postgres")], async (servers) => {
      const [memory, holder, other] = servers.map(({ port }) => port);
      if (memory === undefined || holder === undefined || other === undefined) throw invalid("no servers");
      const kept = await missEvents(memory);
      const stored = await missEvents(holder);
      const samples = isQuick ? 20 : 60;
      const times: Times[] = [];
      for (const copy of await copiesOf(stored, project, WARM_UP + samples)) {
        times.push({
          select: await select(project, copy),
          memory: await resume(memory, kept),
          holder: await resume(holder, stored),
          other: await resume(other, copy),
        });
      }
      onProgress(`${samples} resumes each way`);
      return rowsOf(times.slice(WARM_UP));
    });
  } finally {
    await project.stop();
  }
};

function rowsOf(times: readonly Times[]): Row[] {
  const row = (what: string, [floor, ours]: [Way, Way], share: number, goal?: number): Row => {
    const [a = NaN, b = NaN] = [floor, ours].map((way) => quantile(times.map((each) => each[way]), share));
    const told = differenceRow(what, { floor: a, ours: b, unit: "ms", goal });
    // The goal is about the time itself.
    return goal === undefined ? told : { ...told, result: b, resultText: `${b.toFixed(1)} ms` };
  };
  return [
    row("resume of 1,000 events at another worker, beside a select, p50", ["select", "other"], 0.5, GOAL_MS),
    row("  p95", ["select", "other"], 0.95),
    row("  at the worker that has the session, p50", ["select", "holder"], 0.5, GOAL_MS),
    row("  the same beside the memory store, p50", ["memory", "holder"], 0.5),
  ];
}

async function resume(port: number, { sessionId, resumeToken }: MissedSession): Promise<number> {
  const path = `/?stream=true&last_seq=0&session_id=${sessionId}&resume_token=${resumeToken}`;
  const startedAt = performance.now();
  const socket = await RawSocket.open(port, { path });
  const { promise: last, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ARRIVAL_TIMEOUT_MS);
  // The welcome, then one event per frame.
  socket.onFrame = (): void => socket.frames.length > MISSED ? resolve() : undefined;
  if (socket.frames.length > MISSED) resolve();
  await last;
  const ms = performance.now() - startedAt;
  clearTimeout(timer);
  socket.close();
  const seqs = socket.frames.slice(1).map((frame) => JSON.parse(decoder.decode(frame)).seq);
  if (seqs.length !== MISSED || seqs.some((seq, index) => seq !== index + 1)) {
    throw invalid(`a resume showed ${seqs.length} events, or not in order`);
  }
  await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  return ms;
}

async function select({ url, secretKey }: ProjectProcess, { sessionId }: MissedSession): Promise<number> {
  const auth = { persistSession: false, autoRefreshToken: false };
  const client = createClient(url, secretKey, { auth });
  const startedAt = performance.now();
  const { data } = await client.from("agent_events").select("seq, event").eq("session_id", sessionId)
    .order("seq").limit(MISSED);
  const ms = performance.now() - startedAt;
  if (data?.length !== MISSED) throw invalid(`a select gave ${data?.length} rows`);
  return ms;
}
