/**
 * `deno task simulate`: sessions at several workers while everything fails, on one virtual clock.
 *
 * - `--seeds N` (default 5000): N fresh seeds; with `--from S` the seeds S, S + 1 …; with `--seconds N` as many as fit.
 * - `--seed S`: one seed. A failing plan is shrunk to the fewest events, and printed step by step.
 * - `--exhaustive`: every order of the small world; `--kills`, `--lost`, `--late`, `--stalls` set how many faults may
 *   happen; with `--replaces` the second query replaces the first; `--calls t1` … `t5`: the first query calls tools (tools.ts).
 * - `--transcripts`: writes the results of the kept transcripts; the diff shows what has changed.
 *
 * The exit code is 1 if an invariant was broken.
 */

// deno-lint-ignore-file no-console -- a command-line tool

import { cpuUsage } from "node:process";
import { parseArgs } from "node:util";
import { type Plan, planOf } from "./plan.ts";
import { runPlan } from "./run.ts";
import { kindOf, shrink } from "./shrink.ts";
import { explore } from "./explore.ts";
import { smallWorld } from "./small_world.ts";
import { play } from "./transcript.ts";
import { transcripts } from "./transcripts.ts";

const { values: flags } = parseArgs({
  args: Deno.args,
  options: {
    seeds: { type: "string", default: "5000" },
    from: { type: "string" },
    seconds: { type: "string" },
    seed: { type: "string" },
    exhaustive: { type: "boolean", default: false },
    kills: { type: "string", default: "1" },
    lost: { type: "string", default: "0" },
    late: { type: "string", default: "1" },
    stalls: { type: "string", default: "0" },
    replaces: { type: "boolean", default: false },
    calls: { type: "string" },
    transcripts: { type: "boolean", default: false },
  },
});

const isClean = flags.transcripts
  ? writeTranscripts()
  : flags.exhaustive
  ? exhaust()
  : flags.seed !== undefined
  ? replay(planOf(integer("seed", flags.seed)))
  : search();
Deno.exit(isClean ? 0 : 1);

function search(): boolean {
  const from = flags.from === undefined
    ? Math.floor(Math.random() * 2_000_000_000)
    : integer("from", flags.from);
  const seeds = integer("seeds", flags.seeds);
  const seconds = flags.seconds === undefined ? undefined : integer("seconds", flags.seconds);
  const isOver = seconds === undefined
    ? (seed: number): boolean => seed >= from + seeds
    : (): boolean => performance.now() > seconds * 1000;
  const cpuBefore = cpuSeconds();
  const broken = new Map<string, number[]>();
  let steps = 0;
  let seed = from;
  for (; !isOver(seed); seed++) {
    const { steps: taken, violation } = runPlan(planOf(seed));
    steps += taken;
    const kind = kindOf(violation);
    if (kind !== undefined) broken.set(kind, [...broken.get(kind) ?? [], seed]);
  }
  const perSecond = Math.round(steps / (cpuSeconds() - cpuBefore));
  console.log(
    `seeds ${from} to ${
      seed - 1
    }: ${steps} steps, ${perSecond} a second of CPU time, ${broken.size} kinds of violation`,
  );
  for (const [kind, seeds] of broken) {
    console.log(`${seeds.length} × ${kind}\n  --seed ${seeds.slice(0, 8).join(", ")}`);
  }
  return broken.size === 0;
}

function cpuSeconds(): number {
  const { user, system } = cpuUsage();
  return (user + system) / 1_000_000;
}

function replay(plan: Plan): boolean {
  if (runPlan(plan).violation === undefined) {
    console.log(`seed ${plan.seed}: clean`);
    return true;
  }
  const shortest = shrink(plan);
  for (const action of shortest.actions) console.log(JSON.stringify(action));
  const { violation } = runPlan(shortest, (world) => {
    const at = (): string => `${world.now - 1_000_000}`.padStart(6);
    world.onEvent = (worker, event) => console.log(at(), worker.id, "←", JSON.stringify(event));
    world.onEffect = (worker, effect) => console.log(at(), worker.id, "   →", JSON.stringify(effect));
  });
  console.log(violation?.message);
  return false;
}

function exhaust(): boolean {
  const { kills, lost, late, stalls, replaces, calls = "q1" } = flags;
  const budget = {
    asks: [[{ id: calls }], [replaces ? { id: "r1", replaces: "q1" } : { id: "q2" }]],
    kills: integer("kills", kills),
    lostAnswers: integer("lost", lost),
    lateLandings: integer("late", late),
    stalls: integer("stalls", stalls),
  };
  const startedAt = performance.now();
  const { states, ends, violation } = explore(smallWorld(budget), {
    onProgress: (states) => console.error(`${states / 1_000_000} million states`),
  });
  const perSecond = Math.round(states / (performance.now() - startedAt) * 1000);
  if (violation === undefined) {
    console.log(`all ${states} states visited, ${ends} of them at rest (${perSecond} a second)`);
    return true;
  }
  for (const line of violation.path) console.log(line);
  console.log(violation.message);
  return false;
}

function writeTranscripts(): boolean {
  for (const { url, text } of transcripts()) Deno.writeTextFileSync(url, play(text));
  return true;
}

function integer(flag: string, value: string): number {
  const number = Number(value);
  if (Number.isSafeInteger(number) && number >= 0) return number;
  console.error(`Cannot simulate: --${flag} must be a whole number from 0 on, not "${value}"`);
  Deno.exit(2);
}
