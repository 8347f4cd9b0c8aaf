// deno-lint-ignore-file no-console -- a command-line tool
import { planOf } from "./plan.ts";
import { runPlan } from "./run.ts";
import { kindOf, shrink } from "./shrink.ts";
const [from = 1, count = 1000] = Deno.args.map(Number);
const startedAt = performance.now();
let steps = 0, events = 0, bad = 0;
const kinds = new Map<string, number[]>();
for (let seed = from; seed < from + count; seed++) {
  const result = runPlan(planOf(seed));
  steps += result.steps;
  events += result.events;
  if (result.violation) {
    bad++;
    const kind = kindOf(result.violation) ?? "";
    kinds.set(kind, [...(kinds.get(kind) ?? []), seed]);
  }
}
const seconds = (performance.now() - startedAt) / 1000;
console.log(
  `${count} seeds, ${steps} steps, ${events} log events, ${Math.round(steps / seconds)} steps/s, ${bad} bad`,
);
for (const [kind, seeds] of [...kinds].sort((a, b) => b[1].length - a[1].length).slice(0, 12)) {
  console.log(seeds.length, kind, seeds.slice(0, 5));
}
for (const [, seeds] of [...kinds].sort((a, b) => b[1].length - a[1].length).slice(0, 4)) {
  const best = seeds.slice(0, 12).map((s) => shrink(planOf(s))).sort((a, b) =>
    a.actions.length - b.actions.length
  )[0]!;
  console.log(JSON.stringify({ ...best, actions: undefined }));
  for (const a of best.actions) console.log("  ", JSON.stringify(a));
  console.log(runPlan(best).violation?.message);
}
