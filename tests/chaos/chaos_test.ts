/** A short chaos run with every check: a new seed each time, printed on failure. `CHAOS_SEED` repeats a run. */

import assert from "node:assert/strict";
import { caseFiles } from "./case_file.ts";
import { parseOptions } from "./options.ts";
import { runChaos } from "./run.ts";
import { table } from "./table.ts";

const TURNS = 160;
/** As many workers shut down. Both follow the turns, so that a slow machine has no more to do. */
const KILLS = 6;

Deno.test({
  name:
    "chaos: nothing is lost, doubled, reordered or hung while workers, lines, database, relay and model fail",
  // Sockets on frozen lines end some seconds after the run.
  sanitizeOps: false,
  sanitizeResources: false,
  fn: async () => {
    const seed = Deno.env.get("CHAOS_SEED");
    const options = parseOptions([
      ...["--clients", "16", "--turns", String(TURNS), "--kills", String(KILLS), "--wall-clock", "0"],
      // In hours: the shortest.
      ...["--set", "APPROVAL_TIMEOUT=0.001"],
      // A slow machine does not count as hung.
      ...["--bound", "240000"],
      ...(seed === undefined ? [] : ["--seed", seed]),
    ]);
    const onProgress = (text: string): void => {
      Deno.stderr.writeSync(new TextEncoder().encode(`${text}\n`));
    };
    const result = await runChaos(options, { onProgress });
    const { faults, record, tally, left } = result;
    const again = `CHAOS_SEED=${options.seed} deno task test chaos`;
    assert.ok(faults.length === 0, `${caseFiles(faults, record)}\n\n${table(result)}\n\nAgain: ${again}`);
    assert.deepEqual(left, [], "what did not stop");
    const acted = record.runs?.length ?? 0;
    // A run in which no fault was injected proves nothing.
    assert.ok(
      tally.turns === TURNS && tally.cuts > 0 && tally.kills.length > 0 && tally.resumes > 0 && acted > 0,
      table(result),
    );
  },
});
