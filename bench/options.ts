/** The options of the command line. */

import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { activityFanOut } from "./scenarios/activity_fan_out.ts";
import { bytesPerToken } from "./scenarios/bytes_per_token.ts";
import { coldStart } from "./scenarios/cold_start.ts";
import { batched, flood, light, paced } from "./scenarios/cpu_per_token.ts";
import { durableCalls } from "./scenarios/durable_calls.ts";
import { durableCpu } from "./scenarios/durable_cpu.ts";
import { durableResume } from "./scenarios/durable_resume.ts";
import { firstDelta } from "./scenarios/first_delta.ts";
import { idleConnections } from "./scenarios/idle_connections.ts";
import { notification } from "./scenarios/notification.ts";
import { pace } from "./scenarios/pace.ts";
import type { Scenario } from "./scenarios/scenario.ts";
import { watchedAnswers } from "./scenarios/watched_answers.ts";

const SCENARIOS: Readonly<Record<string, Scenario>> = {
  light,
  paced,
  batched,
  flood,
  pace,
  "first-delta": firstDelta,
  "bytes": bytesPerToken,
  "idle": idleConnections,
  "cold-start": coldStart,
  notification,
  "activity": activityFanOut,
  "durable-cpu": durableCpu,
  "durable-calls": durableCalls,
  "durable-resume": durableResume,
  watched: watchedAnswers,
};

export const USAGE = `deno task bench [--only ${
  Object.keys(SCENARIOS).join("|")
}] [--rounds N] [--quick] [--against FOLDER] [--json FILE]
`;

export interface BenchOptions {
  scenarios: readonly (readonly [name: string, run: Scenario])[];
  rounds: number;
  isQuick: boolean;
  /** The folder of another checkout, whose build the rows of CPU time per token compare with too. */
  against: URL | undefined;
  jsonFile: string | undefined;
}

/** Throws if the arguments are invalid. */
export function parseOptions(args: string[]): BenchOptions {
  const { values } = parseArgs({
    args,
    options: {
      only: { type: "string", multiple: true },
      rounds: { type: "string" },
      quick: { type: "boolean", default: false },
      against: { type: "string" },
      json: { type: "string" },
    },
  });
  const rounds = Number(values.rounds ?? (values.quick ? 3 : 5));
  if (!Number.isSafeInteger(rounds) || rounds < 1) {
    throw new Error("--rounds must be a whole number from 1 up");
  }
  const names = values.only?.flatMap((value) => value.split(",")) ?? Object.keys(SCENARIOS);
  const scenarios = names.map((name) => {
    const run = SCENARIOS[name];
    if (run === undefined) throw new Error(`--only knows no ${name}`);
    return [name, run] as const;
  });
  const { quick: isQuick, json: jsonFile, against } = values;
  return {
    scenarios,
    rounds,
    isQuick,
    against: against === undefined ? undefined : checkout(against),
    jsonFile,
  };
}

function checkout(folder: string): URL {
  if (!existsSync(join(folder, "supabase/functions/agent_websocket/index.ts"))) {
    throw new Error(`--against must be the folder of a checkout of this project, and ${folder} is none`);
  }
  return pathToFileURL(`${resolve(folder)}/`);
}
