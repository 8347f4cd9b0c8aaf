/** The environment of a chaos run: database, model, stack, and the lines to it. */

import { type LocalStack, startLocalStack } from "../../local/stack.ts";
import { bareEnv } from "../support/local_stack.ts";
import { startPostgres } from "../support/postgres_server.ts";
import type { ChaosOptions } from "./options.ts";
import { type ChaosModel, startModel } from "./model.ts";
import { createRunsTable } from "./tool_runs.ts";
import { type Line, openLine } from "./proxy.ts";
import type { Random } from "./random.ts";
import type { Part } from "./stopping.ts";
import { LEASE_MS } from "./take_over.ts";
import { Tally } from "./tally.ts";

export interface World {
  stack: LocalStack;
  model: ChaosModel;
  /** Undefined if sessions are in memory. */
  databaseUrl: string | undefined;
  tally: Tally;
  /** Ids of all sessions so far, as targets for attackers. */
  sessions: string[];
  /** How long anything may take before it counts as hung, in milliseconds. */
  boundMs: number;
  /** The share of questions for which tools are called, 0 to 1. */
  tools: number;
  /** The maximum pause between an answer and the next question, in milliseconds. */
  pauseMs: number;
  /** A new line to the gateway, which breaks as `random` decides. */
  line(random: Random): Line;
  /** From now on no line breaks. */
  calm(): void;
}

/**
 * Time limits shorter than in production, so that every limit is reached within a run. The other values switch off
 * limits that would refuse the clients.
 */
const ENV = {
  AUTH_MODE: "optional",
  RATE_LIMIT_PER_MINUTE: "0",
  NOTIFY_RATE_LIMIT_PER_MINUTE: "0",
  MAX_CONNECTIONS_PER_USER: "0",
  MAX_CONNECTIONS_PER_ADDRESS: "0",
  ANONYMOUS_SESSIONS_PER_HOUR: "0",
  MAX_EVENTS: "100000",
  HEARTBEAT_INTERVAL_MS: "2000",
  FIRST_TOKEN_TIMEOUT_MS: "4000",
  STALL_TIMEOUT_MS: "1500",
  TURN_LEASE_MS: String(LEASE_MS),
  DRAIN_TIMEOUT_MS: "1000",
  // In minutes: six seconds.
  SESSION_TIMEOUT: "0.1",
  CLEANUP_INTERVAL_MS: "1000",
  // In hours: seven seconds.
  APPROVAL_TIMEOUT: "0.002",
  TOOL_TIMEOUT_MS: "6000",
  // Until the model refuses one.
  PREFILL_MODELS: "*",
};
/** The agent of the workers. */
const AGENT = new URL("./agent.ts", import.meta.url);
/** Most connections break sooner or later. */
const HOLDING = 0.15;
const FREEZING = 0.04;

/** Adds each part to `parts` as soon as it is started, so that it can be stopped if this function fails later. */
export async function openWorld(options: ChaosOptions, parts: Part[]): Promise<World> {
  const { seed, modelFailures, workers, wallClockMs, store, functions, env, logFile } = options;
  const tally = new Tally();
  const log = logFile === undefined
    ? undefined
    : await Deno.open(logFile, { write: true, create: true, truncate: true });
  if (log !== undefined) parts.push({ name: "the log file", stop: () => log.close() });
  const encoder = new TextEncoder();
  const postgres = store === "postgres" ? await startPostgres() : undefined;
  if (postgres !== undefined) parts.push({ name: "PostgreSQL", stop: postgres.stop, kill: postgres.kill });
  if (postgres !== undefined) await createRunsTable(postgres.url);
  const model = await startModel({ seed, rates: { failures: modelFailures, pauseMs: 12 } });
  parts.push({ name: "the model", stop: model.stop });
  const stack = await startLocalStack({
    env: { ...bareEnv(), ...ENV, SESSION_STORE: store, ...env },
    workers: { agent_websocket: workers },
    wallClockMs,
    agentFile: AGENT,
    lite: postgres !== undefined,
    ...(postgres && { databaseUrl: postgres.url }),
    ...(functions && { functions }),
    model: { baseUrl: model.baseUrl },
    onLog: (line) => log?.writeSync(encoder.encode(`${new Date().toISOString()} ${line}\n`)),
  });
  parts.push({
    name: "the stack",
    stop: stack.stop,
    kill: () => stack.workers().forEach(({ pid }) => Deno.kill(pid, "SIGKILL")),
  });
  let isCalm = false;
  const targetPort = Number(new URL(stack.url).port);
  return {
    stack,
    model,
    databaseUrl: postgres?.url,
    tally,
    sessions: [],
    boundMs: options.boundMs,
    tools: options.tools,
    pauseMs: 100,
    calm: () => isCalm = true,
    line: (random) =>
      openLine({
        targetPort,
        nextFate: () => {
          const holds = random.chance(HOLDING);
          const direction = random.chance(0.75) ? "down" : "up";
          const kind = random.chance(FREEZING) ? "freeze" : "cut";
          // From within the handshake to some answers later. Clients send less, so the limit is lower in that
          // direction.
          const afterBytes = random.magnitude(20, direction === "down" ? 60_000 : 4000);
          return holds || isCalm ? undefined : { kind, direction, afterBytes };
        },
        onFate: ({ kind }) => kind === "cut" ? tally.cuts++ : tally.freezes++,
      }),
  };
}
