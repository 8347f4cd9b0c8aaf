/** Several workers share one project's limit, which is counted in the same way as in Realtime. */

import assert from "node:assert/strict";
import { MessageRate } from "../../../local/realtime/message_rate.ts";
import { PostBudget } from "../../../supabase/functions/_shared/notify/post_budget.ts";
import { ManualClock } from "../../support/manual_clock.ts";

const LIMIT = 100;
const STEP_MS = 10;

interface Outcome {
  refused: number;
  /** Posts per second, of all workers, in the last minute. */
  perSecond: number;
  /** The highest average that Realtime had. */
  peak: number;
}

/** For five minutes, every worker posts whenever it may, and receives all posts. */
function play(
  { workers, others = 0, quietMs = 0 }: { workers: number; others?: number; quietMs?: number },
): Outcome {
  const clock = new ManualClock();
  const rate = new MessageRate(clock, LIMIT);
  const budgets = Array.from(
    { length: workers },
    (_, n) => new PostBudget({ clock, random: () => (n + 1) / (workers + 1), perSecond: 20 }),
  );
  clock.advance(quietMs);
  let [refused, posts, peak] = [0, 0, 0];
  const endAt = clock.now() + 300_000;
  while (clock.now() < endAt) {
    rate.add(others * STEP_MS / 1000);
    for (const budget of budgets) {
      if (budget.waitMs("background") > 0) continue;
      budget.spend();
      const isRefused = rate.exceededAt !== undefined;
      if (isRefused) refused++;
      else rate.add(1 + workers);
      if (!isRefused && endAt - clock.now() <= 60_000) posts++;
      budget.observe({ isRefused, rate: { perSecond: Math.trunc(rate.perSecond), limit: LIMIT } });
    }
    peak = Math.max(peak, rate.perSecond);
    clock.advance(STEP_MS);
  }
  return { refused, perSecond: posts / 60, peak };
}

Deno.test("[RL3] one worker uses all of its budget, and two share what the project may", () => {
  const one = play({ workers: 1 });
  assert.deepEqual([one.refused, Math.round(one.perSecond)], [0, 20]);
  const two = play({ workers: 2 });
  assert.equal(two.refused, 0);
  assert.ok(two.perSecond > 15 && two.peak < LIMIT, JSON.stringify(two));
});

Deno.test("[RL3] a project that uses Realtime itself keeps what it uses", () => {
  const { refused, perSecond, peak } = play({ workers: 2, others: 40 });
  assert.equal(refused, 0);
  assert.ok(perSecond > 6 && peak < LIMIT, JSON.stringify({ perSecond, peak }));
});

Deno.test("[RL3] five workers that have more to say than the project may keep below its limit", () => {
  for (const workers of [3, 5]) {
    const { refused, perSecond, peak } = play({ workers, quietMs: 30_000 });
    assert.equal(refused, 0);
    assert.ok(perSecond * (1 + workers) > LIMIT / 2, `${workers} workers: ${perSecond} posts a second`);
    assert.ok(peak < LIMIT, `${workers} workers: ${peak}`);
  }
});

Deno.test("[RL4] twenty workers that all begin at once are refused for a while, and then mostly taken", () => {
  const { refused, perSecond } = play({ workers: 20, quietMs: 30_000 });
  // At most twelve per minute and worker; its budget alone would allow 1,200.
  assert.ok(refused <= 20 * 5 * 12, `${refused} refused`);
  assert.ok(perSecond > 1, `${perSecond} posts a second`);
});
