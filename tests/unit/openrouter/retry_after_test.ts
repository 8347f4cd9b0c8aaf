import assert from "node:assert/strict";
import { backoffMs, parseRetryAfter } from "../../../supabase/functions/_shared/openrouter/retry_after.ts";
import { ManualClock } from "../../support/manual_clock.ts";

Deno.test("parseRetryAfter: seconds, a date, or nothing of use", () => {
  const clock = new ManualClock(Date.UTC(2025, 0, 1));
  const cases: [string | null, number | undefined][] = [
    ["0", 0],
    ["120", 120_000],
    [" 2 ", 2000],
    ["1.5", 1500],
    ["Wed, 01 Jan 2025 00:00:09 GMT", 9000],
    ["Tue, 31 Dec 2024 23:59:00 GMT", 0],
    [null, undefined],
    ["", undefined],
    ["-1", undefined],
    ["soon", undefined],
    ["1e3", undefined],
    ["2025", 2_025_000],
    ["2025-01-01", undefined],
  ];
  for (const [header, ms] of cases) assert.equal(parseRetryAfter(header, clock), ms, String(header));
});

Deno.test("backoffMs: between half and the whole of 500 ms, doubled up to 8 s, and never before Retry-After", () => {
  assert.equal(backoffMs(1, { random: 0 }), 250);
  assert.equal(backoffMs(1, { random: 1 }), 500);
  assert.equal(backoffMs(4, { random: 1 }), 4000);
  assert.equal(backoffMs(10, { random: 1 }), 8000);
  assert.equal(backoffMs(1, { random: 0, retryAfterMs: 100 }), 250);
  assert.equal(backoffMs(1, { random: 0, retryAfterMs: 60_000 }), 60_000);
});
