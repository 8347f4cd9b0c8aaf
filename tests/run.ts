/**
 * Runs the tests: `deno task test [suite or part of a path …]`, or with `--gate` the static checks as well (`deno task
 * ok`). One process more than the machine has cores runs side by side (`--lanes N` for another number), as each waits for
 * something now and then; what each printed is printed when it ends. The last line is `N passed, N failed`; the exit code is 1 if anything failed, was skipped or
 * is missing.
 */

// deno-lint-ignore-file no-console -- a command-line tool

import { parseArgs } from "node:util";
import { ChildCpu } from "./support/child_cpu.ts";
import { countTests } from "./support/junit.ts";
import { inLanes } from "./support/lanes.ts";
import { filesUnder, urlOf } from "./support/source_files.ts";
import { type Check, checkTypesOf, PACKAGES, staticChecks } from "./support/static_checks.ts";
import { runsOf, select, type Selection, SUITES, V8_FLAGS } from "./support/suites.ts";

/** What a job came to. */
interface Outcome {
  name: string;
  /** How long it took, and its CPU time where that is known; undefined for what was not run. */
  took?: { seconds: number; cpuSeconds: number | undefined };
  passed: number;
  failed: number;
  complaints: readonly string[];
  /** All that it printed. */
  output: string;
}

const stopped = new AbortController();
const childCpu = new ChildCpu();
const total = { passed: 0, failed: 0 };
/** What failed, to be listed at the end: the output above may be long. */
const failures: string[] = [];

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.addSignalListener(signal, () => stopped.abort());
}
try {
  const { values, positionals } = parseArgs({
    args: Deno.args,
    options: { gate: { type: "boolean" }, lanes: { type: "string" } },
    allowPositionals: true,
  });
  const lanes = values.lanes === undefined ? navigator.hardwareConcurrency + 1 : Number(values.lanes);
  if (!Number.isInteger(lanes) || lanes < 1) {
    throw new Error(`Cannot run in ${values.lanes} lanes: --lanes takes a whole number from 1 on`);
  }
  const selections = select(SUITES.map((suite) => ({ suite, files: testFiles(suite.folder) })), positionals);
  // Types are checked once, here, and not again by each process.
  const checks = values.gate ? staticChecks() : [checkTypesOf(selections.flatMap(({ files }) => files))];
  const packages = timed(() => runCheck(PACKAGES)).then(report);
  const jobsOf = (some: readonly Check[]) =>
    some.map((check) => async () => {
      if (check.needsNoPackages !== true) await packages;
      return await timed(() => runCheck(check));
    });
  const tests = selections.flatMap(runsOf).map((run) => async () => {
    await packages;
    return await timed(() => runTests(run));
  });
  const background = checks.filter(({ isInBackground }) => isInBackground);
  const foreground = checks.filter(({ isInBackground }) => !isInBackground);
  await Promise.all([
    packages,
    inLanes([...jobsOf(foreground), ...tests], lanes, report),
    inLanes(jobsOf(background), 1, report),
  ]);
} catch (error) {
  report({ name: "tests/run.ts", passed: 0, failed: 1, complaints: [String(error)], output: "" });
}
for (const failure of failures) console.log(`FAILED ${failure}`);
const cpuSeconds = childCpu.total();
if (cpuSeconds !== undefined) console.log(`\n${Math.round(cpuSeconds)} s of CPU in all`);
console.log(`${total.passed} passed, ${total.failed} failed`);
Deno.exit(total.failed === 0 ? 0 : 1);

function report({ name, took, passed, failed, complaints, output }: Outcome): void {
  console.log(`\n--- ${name}${took === undefined ? "" : ` (${describe(took)})`}\n${output}`);
  total.passed += passed;
  total.failed += failed;
  if (failed > 0) failures.push(`${name}: ${failed}`, ...complaints.map((one) => `  ${one}`));
}

async function timed(job: () => Promise<Outcome>): Promise<Outcome> {
  const startedAt = performance.now();
  const outcome = await job();
  const seconds = (performance.now() - startedAt) / 1000;
  return { ...outcome, took: { seconds, cpuSeconds: childCpu.sinceLast() } };
}

function describe({ seconds, cpuSeconds }: { seconds: number; cpuSeconds: number | undefined }): string {
  const cpu = cpuSeconds === undefined ? "" : `, CPU ${cpuSeconds.toFixed(1)} s`;
  return `${Math.round(seconds)} s${cpu}`;
}

/** A folder that is not there is as bad as an empty one: it has no tests. */
function testFiles(folder: string): string[] {
  try {
    return filesUnder(folder, "_test.ts");
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

async function runCheck(check: Check): Promise<Outcome> {
  const { name, command, args, env = {}, judge, isShown = false } = check;
  const { output, success } = await run(command, args, { env, signal: stopped.signal });
  const findings = judge === undefined ? output : judge({ output, success });
  const isGood = judge === undefined ? success : findings === "";
  return {
    name,
    passed: isGood ? 1 : 0,
    failed: isGood ? 0 : 1,
    complaints: [],
    output: isGood && !isShown ? "" : findings,
  };
}

async function runTests({ suite, files }: Selection): Promise<Outcome> {
  const name = `${suite.name}: ${files.map((file) => file.slice(suite.folder.length + 1)).join(" ")}`;
  if (files.length === 0) {
    return { name, passed: 0, failed: 1, complaints: [`${suite.folder} has no tests`], output: "" };
  }
  const folder = await Deno.makeTempDir();
  try {
    const [junitPath, entry] = [`${folder}/junit.xml`, `${folder}/run_test.ts`];
    // One module for all: `deno test` starts anew, with all that is imported, for each that it is given.
    await Deno.writeTextFile(entry, files.map((file) => `import "${urlOf(file)}";\n`).join(""));
    const hanging = AbortSignal.timeout(suite.timeoutMinutes * 60_000);
    const { output, success } = await run(Deno.execPath(), [
      "test",
      "--no-check",
      "--no-prompt",
      "--config=deno.json",
      `--junit-path=${junitPath}`,
      ...suite.flags,
      entry,
    ], { env: { DENO_V8_FLAGS: V8_FLAGS }, signal: AbortSignal.any([stopped.signal, hanging]) });
    const junit = await Deno.readTextFile(junitPath).catch(() => undefined);
    const counts = countTests({ report: junit, files, success });
    if (hanging.aborted) counts.complaints.push(`stopped after ${suite.timeoutMinutes} minutes`);
    return { name, ...counts, output };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Both of its streams together. */
async function run(
  command: string,
  args: readonly string[],
  options: Pick<Deno.CommandOptions, "env" | "signal">,
): Promise<{ output: string; success: boolean }> {
  const { stdout, stderr, success } = await new Deno.Command(command, {
    ...options,
    args: [...args],
    stdin: "null",
    cwd: urlOf(""),
  }).output();
  const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  return { output: text(stdout) + text(stderr), success };
}
