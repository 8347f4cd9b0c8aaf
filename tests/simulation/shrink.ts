/** Finds a shorter plan that breaks the same rule, with as few events as possible. */

import type { Plan } from "./plan.ts";
import { runPlan } from "./run.ts";

/** The broken rule, without the names in the message. */
export function kindOf(violation: Error | undefined): string | undefined {
  return violation?.message.replaceAll(/[a-z]*\d+[-\w.]*/g, "#").replaceAll(/"[^"]*"/g, "~").slice(0, 60);
}

/** Removes ever smaller parts of the plan, until nothing more can be removed. */
export function shrink(plan: Plan): Plan {
  let best = plan;
  const kind = kindOf(runPlan(plan).violation);
  for (
    let size = Math.ceil(best.actions.length / 2);
    size >= 1;
    size = size === 1 ? 0 : Math.ceil(size / 2)
  ) {
    for (let start = 0; start < best.actions.length;) {
      const actions = best.actions.toSpliced(start, size);
      const shorter = { ...best, actions };
      if (kindOf(runPlan(shorter).violation) === kind) best = shorter;
      else start += size;
    }
  }
  return best;
}
