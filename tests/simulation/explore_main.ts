// deno-lint-ignore-file no-console -- a command-line tool
import { explore, smallWorld } from "./small_world.ts";
const [kills = 1, lost = 1, late = 1, stalls = 0, limit = 300000] = Deno.args.map(Number);
const t = performance.now();
const r = explore(
  smallWorld({ asks: [["q1"], ["q2"]], kills, lostAnswers: lost, lateLandings: late, stalls }),
  limit,
);
console.log(
  r.states,
  "states",
  r.ends,
  "ends",
  r.isComplete ? "all visited" : "not all",
  Math.round(r.states / (performance.now() - t) * 1000),
  "states/s",
);
if (r.violation) {
  console.log(r.violation.message);
  for (const line of r.violation.path) console.log("  ", line.slice(0, 300));
}
