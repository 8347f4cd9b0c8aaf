import assert from "node:assert/strict";
import { SUM_MS, SummedLog } from "../../../supabase/functions/_shared/notify/summed_log.ts";
import { ManualClock } from "../../support/manual_clock.ts";
import { RecordingLog } from "../../support/recording_log.ts";

Deno.test("[RL4] the first of an event is written at once, and those of the next ten seconds as one line with their number", () => {
  const clock = new ManualClock();
  const log = new RecordingLog();
  const sums = new SummedLog(clock, log);
  const written = (): unknown[] => log.entries.splice(0).map(({ event, count, n }) => [event, count, n]);
  for (let n = 0; n < 5000; n++) sums.add("refused", 1, { n });
  sums.add("dropped", 3);
  assert.deepEqual(written(), [["refused", 1, 0], ["dropped", 3, undefined]]);
  clock.advance(SUM_MS - 1);
  assert.deepEqual(written(), []);
  clock.advance(1);
  assert.deepEqual(written(), [["refused", 4999, 4999]]);
  sums.add("refused", 2, { n: 5000 });
  clock.advance(SUM_MS);
  assert.deepEqual(written(), [["refused", 2, 5000]]);
  // After ten quiet seconds the next entry counts as the first again.
  clock.advance(SUM_MS);
  assert.equal(clock.pending, 0);
  sums.add("refused", 1, { n: 5001 });
  sums.add("refused", 1, { n: 5002 });
  sums.flush();
  assert.deepEqual(written(), [["refused", 1, 5001], ["refused", 1, 5002]]);
  assert.equal(clock.pending, 0);
});
