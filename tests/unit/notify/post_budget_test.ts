import assert from "node:assert/strict";
import { PostBudget } from "../../../supabase/functions/_shared/notify/post_budget.ts";
import { ManualClock } from "../../support/manual_clock.ts";

function setUp(perSecond: number): { clock: ManualClock; budget: PostBudget; posts(ms: number): number } {
  const clock = new ManualClock();
  const budget = new PostBudget({ clock, random: () => 1, perSecond });
  // Skip the first seconds, in which a worker finds its rate.
  clock.advance(60_000);
  budget.observe({ isRefused: false });
  /** How many posts are sent within `ms`, if there is always another one. */
  function posts(ms: number): number {
    const end = clock.now() + ms;
    let count = 0;
    for (let wait = 0; clock.now() + wait < end; wait = budget.waitMs("prompt")) {
      clock.advance(wait);
      if (budget.waitMs("prompt") > 0) continue;
      budget.spend();
      count++;
    }
    clock.advance(end - clock.now());
    return count;
  }
  return { clock, budget, posts };
}

const rate = (perSecond: number) => ({ isRefused: false, rate: { perSecond, limit: 100 } });

Deno.test("[RL3] a budget lets a burst of a quarter of a second pass, and then no more than it says", () => {
  const { posts } = setUp(20);
  assert.equal(posts(1), 5);
  assert.equal(posts(10_000), 200);
});

Deno.test("[RL3] the background leaves one post to what is prompt", () => {
  const { clock, budget } = setUp(20);
  for (let n = 0; n < 4; n++) {
    assert.equal(budget.waitMs("background"), 0);
    budget.spend();
  }
  assert.deepEqual([budget.waitMs("background"), budget.waitMs("prompt")], [50, 0]);
  clock.advance(50);
  assert.equal(budget.waitMs("background"), 0);
});

Deno.test("[RL3] a budget of one a second is one a second, and of 0 any number", () => {
  const one = setUp(1);
  assert.equal(one.posts(10_000), 10);
  assert.equal(one.budget.waitMs("background"), one.budget.waitMs("prompt"));
  const any = setUp(0);
  for (let n = 0; n < 1000; n++) any.budget.spend();
  assert.equal(any.budget.waitMs("background"), 0);
});

Deno.test("[RL3] a worker makes fewer posts the nearer the project is to its limit", () => {
  const { budget, posts } = setUp(20);
  posts(1000);
  const figures = [10, 40, 60, 70, 80, 200].map((perSecond) => {
    budget.observe(rate(perSecond));
    return posts(10_000);
  });
  assert.deepEqual(figures, [200, 200, 100, 50, 5, 5]);
  // The rate rises at once only as far as other workers can adapt to it.
  const back = [1, 2, 3, 4].map(() => {
    budget.observe(rate(0));
    return posts(10_000);
  });
  assert.deepEqual(back, [105, 200, 200, 200]);
});

Deno.test("[RL3] a worker begins at half its pace", () => {
  const clock = new ManualClock();
  const budget = new PostBudget({ clock, random: () => 1, perSecond: 20 });
  for (let n = 0; n < 5; n++) budget.spend();
  assert.equal(budget.waitMs("prompt"), 100);
  clock.advance(5000);
  budget.observe(rate(10));
  for (let n = 0; n < 5; n++) budget.spend();
  assert.equal(budget.waitMs("prompt"), 67);
});

Deno.test("[RL4] a refusal stops all posts, for twice as long with each that follows, and a taken one ends that", () => {
  const { clock, budget } = setUp(20);
  const waits: number[] = [];
  for (let n = 0; n < 6; n++) {
    budget.observe({ isRefused: true });
    // Two were in flight.
    budget.observe({ isRefused: true });
    waits.push(budget.waitMs("prompt"));
    clock.advance(budget.blockedMs);
  }
  assert.deepEqual(waits, [1000, 2000, 4000, 8000, 15_000, 15_000]);
  budget.observe({ isRefused: true, retryAfterMs: 60_000 });
  assert.equal(budget.blockedMs, 60_000);
  clock.advance(60_000);
  budget.observe(rate(10));
  budget.observe({ isRefused: true });
  assert.equal(budget.blockedMs, 1000);
});

Deno.test("[RL4] workers that are refused at one moment do not come back at one moment", () => {
  const clock = new ManualClock();
  const waits = [0, 0.5, 0.999].map((random) => {
    const budget = new PostBudget({ clock, random: () => random, perSecond: 20 });
    budget.observe({ isRefused: true });
    return budget.blockedMs;
  });
  assert.deepEqual(waits, [500, 750, 1000]);
});

Deno.test("[RL4] where Realtime does not say its rate, a worker is slower after a refusal and finds its way back", () => {
  const { clock, budget, posts } = setUp(20);
  posts(1000);
  budget.observe({ isRefused: true });
  clock.advance(budget.blockedMs);
  const after = posts(10_000);
  clock.advance(10_000);
  budget.observe({ isRefused: false });
  posts(1000);
  assert.deepEqual([after < 110, posts(10_000)], [true, 200]);
});
