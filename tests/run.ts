/**
 * Runs the tests: `deno task test [suite or part of a path …]`, or with `--gate`, after the static checks, all of them
 * (`deno task ok`). The last line is `N passed, N failed`; the exit code is 1 if anything failed, was skipped or is
 * missing.
 */

// deno-lint-ignore-file no-console -- a command-line tool

import { countTests } from "./support/junit.ts";
import { filesUnder, urlOf } from "./support/source_files.ts";
import { type Check, staticChecks } from "./support/static_checks.ts";
import { select, type Selection, SUITES } from "./support/suites.ts";

interface Outcome {
  passed: number;
  failed: number;
  complaints: readonly string[];
}

const passedOnce: Outcome = { passed: 1, failed: 0, complaints: [] };
const failedOnce: Outcome = { passed: 0, failed: 1, complaints: [] };

const stopped = new AbortController();
const total = { passed: 0, failed: 0 };
/** What failed, to be listed at the end: the output above may be long. */
const failures: string[] = [];

const filters = Deno.args.filter((arg) => arg !== "--gate");
const isGate = filters.length < Deno.args.length;

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.addSignalListener(signal, () => stopped.abort());
}
try {
  const selections = select(SUITES.map((suite) => ({ suite, files: testFiles(suite.folder) })), filters);
  if (isGate) {
    for (const check of staticChecks()) count(check.name, await runCheck(check));
  }
  for (const selection of selections) count(selection.suite.name, await runSuite(selection));
} catch (error) {
  count("tests/run.ts", { passed: 0, failed: 1, complaints: [String(error)] });
}
for (const failure of failures) console.log(`FAILED ${failure}`);
console.log(`${total.passed} passed, ${total.failed} failed`);
Deno.exit(total.failed === 0 ? 0 : 1);

function count(name: string, { passed, failed, complaints }: Outcome): void {
  total.passed += passed;
  total.failed += failed;
  if (failed > 0) failures.push(`${name}: ${failed}`, ...complaints.map((one) => `  ${one}`));
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

async function runCheck({ name, command, args, env = {}, judge }: Check): Promise<Outcome> {
  console.log(`\n--- ${name}`);
  const options: Deno.CommandOptions = {
    args: [...args],
    env,
    stdin: "null",
    signal: stopped.signal,
    cwd: urlOf(""),
  };
  if (judge === undefined) {
    const { success } = await new Deno.Command(command, options).spawn().status;
    return success ? passedOnce : failedOnce;
  }
  const { stdout, stderr, success } = await new Deno.Command(command, options).output();
  const wrong = judge({ output: text(stdout) + text(stderr), success });
  if (wrong !== "") console.log(wrong);
  return wrong === "" ? passedOnce : failedOnce;
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

async function runSuite({ suite, files }: Selection): Promise<Outcome> {
  console.log(`\n--- ${suite.name}: ${files.length} files`);
  if (files.length === 0) return { ...failedOnce, complaints: [`${suite.folder} has no tests`] };
  const folder = await Deno.makeTempDir();
  try {
    const path = `${folder}/junit.xml`;
    const hanging = AbortSignal.timeout(suite.timeoutMinutes * 60_000);
    const { success } = await new Deno.Command(Deno.execPath(), {
      args: ["test", "--no-prompt", `--junit-path=${path}`, ...suite.flags, ...files],
      stdin: "null",
      signal: AbortSignal.any([stopped.signal, hanging]),
      cwd: urlOf(""),
    }).spawn().status;
    const report = await Deno.readTextFile(path).catch(() => undefined);
    const counts = countTests({ report, files, success });
    if (hanging.aborted) counts.complaints.push(`stopped after ${suite.timeoutMinutes} minutes`);
    return counts;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
