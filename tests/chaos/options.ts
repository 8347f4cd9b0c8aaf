/** The command line options of `deno task chaos`. */

import { parseArgs } from "node:util";

export const USAGE =
  `deno task chaos [--seed N] [--clients 24] [--turns 10000] [--workers 3] [--wall-clock 20000]
  [--model-failures 0.08] [--tools 0.3] [--kills N (spread over the turns)] [--bound 120000] [--calm (cuts only)] [--memory (no database, nobody is killed)]
  [--functions DIR] [--set NAME=VALUE]… [--log FILE]
`;

export interface ChaosOptions {
  seed: string;
  clients: number;
  turns: number;
  workers: number;
  /** How long a worker lives, in milliseconds. */
  wallClockMs: number;
  /** The share of the model's replies that fail, 0 to 1. */
  modelFailures: number;
  /** The share of questions for which tools are called, 0 to 1. */
  tools: number;
  /**
   * How many workers are killed, spread over the turns, with as many that shut down; undefined: killed one after the other as long as the
   * run takes.
   */
  kills: number | undefined;
  /** How long anything may take before it counts as hung, in milliseconds. */
  boundMs: number;
  /** Whether workers are killed, and the database and the relay disturbed. */
  weather: boolean;
  store: "postgres" | "memory";
  /** A folder of functions to use instead of ours. */
  functions: URL | undefined;
  /** For the functions, in addition to the run's own variables. */
  env: Readonly<Record<string, string>>;
  /** The file for the workers' output. */
  logFile: string | undefined;
}

/** Throws if the arguments are invalid. */
export function parseOptions(args: string[]): ChaosOptions {
  const { values } = parseArgs({
    args,
    options: {
      seed: { type: "string" },
      clients: { type: "string", default: "24" },
      turns: { type: "string", default: "10000" },
      workers: { type: "string" },
      "wall-clock": { type: "string" },
      "model-failures": { type: "string", default: "0.08" },
      tools: { type: "string", default: "0.3" },
      kills: { type: "string" },
      bound: { type: "string", default: "120000" },
      calm: { type: "boolean", default: false },
      memory: { type: "boolean", default: false },
      functions: { type: "string" },
      set: { type: "string", multiple: true, default: [] },
      log: { type: "string" },
    },
  });
  return {
    seed: values.seed ?? String(Date.now() % 1_000_000_000),
    clients: whole("clients", values.clients, 1),
    turns: whole("turns", values.turns, 1),
    // With the memory store, a session ends with its worker.
    workers: whole("workers", values.workers ?? (values.memory ? "1" : "3"), 1),
    wallClockMs: whole("wall-clock", values["wall-clock"] ?? (values.memory ? "0" : "20000"), 0),
    modelFailures: share("model-failures", values["model-failures"]),
    tools: share("tools", values.tools),
    kills: values.kills === undefined ? undefined : whole("kills", values.kills, 0),
    boundMs: whole("bound", values.bound, 1),
    weather: !values.calm && !values.memory,
    store: values.memory ? "memory" : "postgres",
    functions: values.functions === undefined
      ? undefined
      : new URL(`${values.functions}/`, `file://${Deno.cwd()}/`),
    env: Object.fromEntries(values.set.map((pair) => splitPair(pair))),
    logFile: values.log,
  };
}

function whole(name: string, value: string, min: number): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number) || number < min) {
    throw new Error(`--${name} must be a whole number from ${min} up`);
  }
  return number;
}

function share(name: string, value: string): number {
  const number = Number(value);
  if (!(number >= 0 && number <= 1)) throw new Error(`--${name} must be from 0 to 1`);
  return number;
}

function splitPair(pair: string): [string, string] {
  const at = pair.indexOf("=");
  if (at < 1) throw new Error(`--set must be NAME=VALUE, not ${pair}`);
  return [pair.slice(0, at), pair.slice(at + 1)];
}
