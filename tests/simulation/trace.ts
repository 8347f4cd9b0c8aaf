// deno-lint-ignore-file no-console -- a command-line tool
import { planOf } from "./plan.ts";
import { runPlan } from "./run.ts";
import { shrink } from "./shrink.ts";
const plan = shrink(planOf(Number(Deno.args[0])));
for (const a of plan.actions) console.log("  ", JSON.stringify(a));
const result = runPlan(plan, (world) => {
  world.onEvent = (worker, event) => {
    if (event.kind === "wake") return;
    console.log(world.now - 1_000_000, worker.id, "<-", JSON.stringify(event).slice(0, 330));
  };
  world.onEffect = (worker, effect) => {
    if (effect.kind === "learnt" || effect.kind === "ask") return;
    console.log(world.now - 1_000_000, worker.id, "   ->", JSON.stringify(effect).slice(0, 330));
  };
});
console.log(result.violation?.message);
