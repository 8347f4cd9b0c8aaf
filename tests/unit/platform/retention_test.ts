import assert from "node:assert/strict";
import { pruneInSteps } from "../../../supabase/functions/_shared/platform/retention.ts";

const ONE = { turns: 1, sessions: 2, events: 3, rows: 9 };

Deno.test("[DU6] the retention goes on while there is more to do, twenty steps at most, and says what all of them did", async () => {
  const limits: number[] = [];
  const some = await pruneInSteps((limit) => {
    limits.push(limit);
    return Promise.resolve({ ...ONE, more: limits.length < 3 });
  });
  assert.deepEqual(some, { turns: 3, sessions: 6, events: 9, rows: 27, more: false });
  assert.deepEqual(limits, [5000, 5000, 5000]);
  let steps = 0;
  const endless = await pruneInSteps(() => Promise.resolve({ ...ONE, turns: ++steps, more: true }));
  assert.deepEqual([steps, endless.more, endless.rows], [20, true, 180]);
});

Deno.test("[DU6] a step that fails ends the retention for this time", async () => {
  let steps = 0;
  const failing = pruneInSteps(() => {
    if (++steps === 2) return Promise.reject(new Error("no database"));
    return Promise.resolve({ ...ONE, more: true });
  });
  await assert.rejects(failing, { message: "no database" });
  assert.equal(steps, 2);
});
