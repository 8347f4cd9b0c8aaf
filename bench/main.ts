/**
 * `deno task bench`: measures our build and the floor in turn, and prints one table. See README.md beside this file.
 *
 * Exits with 0 whether or not the goals are met, and with 1 if a run is invalid.
 */

import { SideProcess } from "./host/side_process.ts";
import { type BenchOptions, parseOptions, USAGE } from "./options.ts";
import { InvalidRun } from "./report/invalid.ts";
import { machine } from "./report/machine.ts";
import type { Row } from "./report/row.ts";
import { table } from "./report/table.ts";

const MODEL = new URL("model/server.ts", import.meta.url);

Deno.exit(await main());

async function main(): Promise<number> {
  let options: BenchOptions;
  try {
    options = parseOptions(Deno.args);
  } catch (error) {
    say(`${error instanceof Error ? error.message : error}\n${USAGE}`);
    return 2;
  }
  try {
    await run(options);
    return 0;
  } catch (error) {
    if (!(error instanceof InvalidRun)) throw error;
    say(`${error.message}\n`);
    return 1;
  }
}

async function run({ scenarios, rounds, isQuick, against, jsonFile }: BenchOptions): Promise<void> {
  const startedAt = new Date();
  const on = machine();
  const rows: Row[] = [];
  const model = await SideProcess.start(MODEL, { name: "the model server" });
  try {
    for (const [name, scenario] of scenarios) {
      const onProgress = (text: string): void => say(`${name}: ${text}\n`);
      rows.push(...await scenario({ modelPort: model.port, rounds, isQuick, against, onProgress }));
    }
  } finally {
    await model.stop();
  }
  const seconds = Math.round((Date.now() - startedAt.getTime()) / 1000);
  const date = startedAt.toISOString().slice(0, 10);
  say(`\n${table(rows)}\n\n${date}; ${on}; ${seconds} s, ${rounds} rounds\n`);
  if (jsonFile === undefined) return;
  await Deno.writeTextFile(jsonFile, `${JSON.stringify({ date, on, seconds, rounds, rows }, null, 2)}\n`);
}

function say(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(text));
}
