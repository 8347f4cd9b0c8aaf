/**
 * `deno task chaos`: one run, one table. The exit code is 1 if a guarantee was broken, 130 if the run was interrupted
 * before that. After the first signal, the run judges what has ended. The second signal exits at once.
 */

import { caseFiles } from "./case_file.ts";
import { type ChaosOptions, parseOptions, USAGE } from "./options.ts";
import { type ChaosResult, runChaos } from "./run.ts";
import { killParts, type Part } from "./stopping.ts";
import { table } from "./table.ts";

const INTERRUPTED = 130;
/** A second signal later than this exits at once. */
const IMPATIENT_AFTER_MS = 1000;

function say(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
}

async function main(): Promise<number> {
  let options: ChaosOptions;
  try {
    options = parseOptions(Deno.args);
  } catch (error) {
    say(`${error instanceof Error ? error.message : error}\n${USAGE}`);
    return 2;
  }
  const again = Deno.args.includes("--seed") ? Deno.args : [...Deno.args, "--seed", options.seed];
  const interrupted = new AbortController();
  const parts: Part[] = [];
  let verdict: number | undefined;
  const onVerdict = ({ faults, ...result }: ChaosResult): void => {
    if (faults.length > 0) say(`\n${caseFiles(faults, result.record)}`);
    say(`\n${table({ faults, ...result })}\n\nseed ${options.seed}`);
    verdict = faults.length > 0 ? 1 : result.isInterrupted ? INTERRUPTED : 0;
  };
  let interruptedAt: number | undefined;
  const onSignal = (): void => {
    interruptedAt ??= performance.now();
    if (!interrupted.signal.aborted && verdict === undefined) return interrupted.abort();
    // `deno task` repeats a signal that the terminal has already sent to all processes.
    if (verdict === undefined && performance.now() - interruptedAt < IMPATIENT_AFTER_MS) return;
    killParts(parts);
    Deno.exit(verdict ?? INTERRUPTED);
  };
  for (const name of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(name, onSignal);
  // Print this only after the signal handlers are set: a reader of the line may send a signal.
  say(`seed ${options.seed}: deno task chaos ${again.join(" ")}`);
  try {
    const { left } = await runChaos(options, {
      onProgress: say,
      onVerdict,
      signal: interrupted.signal,
      parts,
    });
    for (const part of left) say(`did not stop: ${part}`);
  } catch (error) {
    if (!interrupted.signal.aborted || error !== interrupted.signal.reason) throw error;
    say("interrupted before anybody was there");
  }
  return verdict ?? INTERRUPTED;
}

Deno.exit(await main());
