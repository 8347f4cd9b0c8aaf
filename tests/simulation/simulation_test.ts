/** The session's core in a simulated world: random runs, every order of small worlds, and all races found so far. */

import assert from "node:assert/strict";
import { planOf } from "./plan.ts";
import { runPlan } from "./run.ts";
import { shrink } from "./shrink.ts";
import { explore } from "./explore.ts";
import { smallWorld } from "./small_world.ts";
import { play } from "./transcript.ts";
import { transcripts } from "./transcripts.ts";

Deno.test("[TO1] [TO2] [TO3] [DU1] [DU2] [QU2] [QU4] [SQ1] [SQ2] [SQ3] [DL2] [DL3] random runs break no invariant", () => {
  for (let seed = 1; seed <= 1500; seed++) {
    const { violation } = runPlan(planOf(seed));
    if (violation === undefined) continue;
    const { actions } = shrink(planOf(seed));
    assert.fail(
      `seed ${seed}: ${violation.message}\n${actions.map((action) => JSON.stringify(action)).join("\n")}`,
    );
  }
});

Deno.test("two runs of one seed are the same", () => {
  assert.deepEqual(runPlan(planOf(7)), runPlan(planOf(7)));
});

Deno.test("[DU1] [DU2] [QU2] [SQ2] every order of one query, one answer that is lost and one write that lands late", () => {
  const start = smallWorld({ asks: [[{ id: "q1" }]], kills: 0, lostAnswers: 1, lateLandings: 1, stalls: 0 });
  const { violation, isComplete, states } = explore(start);
  assert.equal(violation, undefined, violation && `${violation.message}\n${violation.path.join("\n")}`);
  assert.ok(isComplete && states > 300, `${states} states`);
});

Deno.test("[TO1] [TO4] [QU2] every order of one query and one kill", () => {
  const { violation, isComplete } = explore(
    smallWorld({ asks: [[{ id: "q1" }]], kills: 1, lostAnswers: 0, lateLandings: 0, stalls: 1 }),
  );
  assert.equal(violation, undefined, violation && `${violation.message}\n${violation.path.join("\n")}`);
  assert.ok(isComplete);
});

for (const { name, text } of transcripts()) {
  Deno.test(`transcript: ${name.replaceAll("_", " ")}`, () => {
    assert.equal(play(text), text, "`deno task simulate --transcripts` writes what it comes to now");
  });
}
