/**
 * What it costs to show one activity event to 100 watchers, against a bare send loop on the same runtime, and with
 * batches; and what the agent's telling costs while nobody watches.
 *
 * What the events themselves cost (a timer, an object, its JSON) is measured without watchers and taken off on both
 * sides: it is no part of a delivery.
 *
 * `deno run -A bench/activity/main.ts [--rounds N] [--quick]`
 */

import { parseArgs } from "node:util";
import { ServerProcess } from "../host/server_process.ts";
import { machine } from "../report/machine.ts";
import { ratioRow, type Row } from "../report/row.ts";
import { table } from "../report/table.ts";
import { unwatchedNs } from "./unwatched.ts";
import { type Emission, WATCHERS, Watchers } from "./watchers.ts";

interface Load extends Emission {
  name: string;
  /** What our watchers subscribe with; 0 for each event in a frame of its own. */
  batchMs: number;
  goal: number;
}

const { values } = parseArgs({
  options: { rounds: { type: "string", default: "9" }, quick: { type: "boolean", default: false } },
});
const rounds = values.quick ? 3 : Number(values.rounds);
const LOADS: readonly Load[] = [
  { name: "one event to 100 watchers", events: 600, everyMs: 2, batchMs: 0, goal: 1.1 },
  { name: "  500 events/s, batch_ms 100", events: 600, everyMs: 2, batchMs: 100, goal: 0.2 },
  { name: "  100 events/s, batch_ms 100", events: 150, everyMs: 10, batchMs: 100, goal: 0.2 },
  { name: "  50 events/s, batch_ms 250", events: 75, everyMs: 20, batchMs: 250, goal: 0.2 },
];

const rows: Row[] = [];
for (const load of LOADS) rows.push(await compare(load));
const ns = unwatchedNs();
rows.push({
  what: "telling while nobody watches",
  unit: "ns",
  floor: undefined,
  ours: ns,
  result: ns,
  resultText: `${ns.toFixed(1)} ns`,
  goal: 100,
});
say(`\n${table(rows)}\n\n${new Date().toISOString().slice(0, 10)}; ${machine()}; ${rounds} rounds\n`);

async function compare(load: Load): Promise<Row> {
  const server = await ServerProcess.start("../activity/server.ts", { modelPort: 0 });
  try {
    const nobody = await Watchers.connect(server, "nobody", 0);
    const bare = await Watchers.connect(server, "bare");
    const ours = await Watchers.connect(server, "ours");
    if (load.batchMs > 0) await ours.say({ action: "subscribe", batch_ms: load.batchMs });
    const series = await measure(load, { nobody, bare, ours });
    bare.close();
    ours.close();
    return ratioRow(load.name, { ...series, unit: "µs CPU/delivery", goal: load.goal });
  } finally {
    await server.stop();
  }
}

/** Microseconds a delivery, each side in turn in each round. */
async function measure(
  load: Load,
  { nobody, bare, ours }: Record<"nobody" | "bare" | "ours", Watchers>,
): Promise<{ floor: number[]; ours: number[] }> {
  const series = { floor: [] as number[], ours: [] as number[] };
  const deliveries = load.events * WATCHERS;
  // Nobody counts the first two: code that has not been compiled yet is not what is compared.
  for (let round = -2; round < rounds; round++) {
    const made = await nobody.cpuOf(load);
    // Each side goes first as often as second.
    const isBareFirst = round % 2 === 0;
    const first = await (isBareFirst ? bare : ours).cpuOf(load) - made;
    const second = await (isBareFirst ? ours : bare).cpuOf(load) - made;
    if (round < 0) continue;
    series.floor.push((isBareFirst ? first : second) / deliveries);
    series.ours.push((isBareFirst ? second : first) / deliveries);
  }
  return series;
}

function say(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(text));
}
