/**
 * The cost of sending one activity event to 100 watchers, compared with a bare send loop on the same runtime, also with
 * batches; and the cost of the agent's reports without watchers.
 *
 * The cost of the events themselves (a timer, an object, its JSON) is measured without watchers and subtracted on both
 * sides: it is not part of a delivery.
 */

import { unwatchedNs } from "../activity/unwatched.ts";
import { type Emission, WATCHERS, Watchers } from "../activity/watchers.ts";
import { ServerProcess } from "../host/server_process.ts";
import { ratioRow, type Row } from "../report/row.ts";
import type { Scenario, ScenarioOptions } from "./scenario.ts";

interface Load extends Emission {
  name: string;
  /** The batch interval that our watchers subscribe with; 0 for each event in a frame of its own. */
  batchMs: number;
  goal: number;
}

const LOADS: readonly Load[] = [
  {
    name: "CPU per delivery of an activity event, 100 watchers",
    events: 600,
    everyMs: 2,
    batchMs: 0,
    goal: 1.1,
  },
  { name: "  500 events/s, batch_ms 100", events: 600, everyMs: 2, batchMs: 100, goal: 0.2 },
  { name: "  100 events/s, batch_ms 100", events: 150, everyMs: 10, batchMs: 100, goal: 0.2 },
  { name: "  50 events/s, batch_ms 250", events: 75, everyMs: 20, batchMs: 250, goal: 0.2 },
];
/** The maximum cost of a report without watchers. */
const UNWATCHED_GOAL_NS = 100;

export const activityFanOut: Scenario = async (options) => {
  const rows: Row[] = [];
  for (const load of LOADS) rows.push(await compare(load, options));
  const ns = unwatchedNs();
  return [...rows, {
    what: "  telling while nobody watches",
    unit: "ns",
    floor: undefined,
    ours: ns,
    result: ns,
    resultText: `${ns.toFixed(1)} ns`,
    goal: UNWATCHED_GOAL_NS,
  }];
};

async function compare(load: Load, options: ScenarioOptions): Promise<Row> {
  const server = await ServerProcess.start("../activity/server.ts", { modelPort: options.modelPort });
  try {
    const nobody = await Watchers.connect(server, "nobody", 0);
    const bare = await Watchers.connect(server, "bare");
    const ours = await Watchers.connect(server, "ours");
    if (load.batchMs > 0) await ours.say({ action: "subscribe", batch_ms: load.batchMs });
    const series = await measure(load, { nobody, bare, ours }, options);
    bare.close();
    ours.close();
    return ratioRow(load.name, { ...series, unit: "µs", goal: load.goal });
  } finally {
    await server.stop();
  }
}

/** Microseconds per delivery, each side in turn in each round. */
async function measure(
  load: Load,
  { nobody, bare, ours }: Record<"nobody" | "bare" | "ours", Watchers>,
  { rounds, isQuick, onProgress }: ScenarioOptions,
): Promise<{ floor: number[]; ours: number[] }> {
  const series = { floor: [] as number[], ours: [] as number[] };
  const emission = isQuick ? { ...load, events: load.events / 3 } : load;
  const deliveries = emission.events * WATCHERS;
  // The first two rounds do not count: they measure the compiler.
  for (let round = -2; round < rounds; round++) {
    const made = await nobody.cpuOf(emission);
    // Each side goes first as often as second.
    const isBareFirst = round % 2 === 0;
    const first = await (isBareFirst ? bare : ours).cpuOf(emission) - made;
    const second = await (isBareFirst ? ours : bare).cpuOf(emission) - made;
    if (round < 0) continue;
    const [floorUs, oursUs] = isBareFirst ? [first, second] : [second, first];
    series.floor.push(floorUs / deliveries);
    series.ours.push(oursUs / deliveries);
    const us = (oursUs / deliveries).toFixed(2);
    onProgress(
      `round ${round + 1}, ${load.name.trim()}: ${us} µs, bare ${(floorUs / deliveries).toFixed(2)} µs`,
    );
  }
  return series;
}
