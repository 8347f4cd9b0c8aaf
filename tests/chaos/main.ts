/** `deno task chaos`: one run, one table. The exit code is 1 where the product broke its word. */

import { caseFiles } from "./case_file.ts";
import { type ChaosOptions, parseOptions, USAGE } from "./options.ts";
import { runChaos } from "./run.ts";
import { table } from "./table.ts";

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
  say(`seed ${options.seed}: deno task chaos ${again.join(" ")}`);
  const result = await runChaos(options, say);
  if (result.faults.length > 0) say(`\n${caseFiles(result.faults, result.record)}`);
  say(`\n${table(result)}\n\nseed ${options.seed}`);
  return result.faults.length === 0 ? 0 : 1;
}

Deno.exit(await main());
