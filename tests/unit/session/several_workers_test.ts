/** Whatever clients, models, workers, store and relay do, in any order: every seat has the same result in the end. */

import * as fc from "fast-check";
import { play, steps } from "../../support/session_steps.ts";

Deno.test("[TO1] [TO2] [TO3] [DU1] [DU2] [DU5] [QU2] [SQ1] [SQ2] [SQ3] [DL2] [DL3] any interleaving of three seats, three workers, store and relay", async () => {
  await fc.assert(fc.asyncProperty(steps, play), { numRuns: 300 });
});
