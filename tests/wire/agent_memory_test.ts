/** A worker's memory accounting matches the heap of its process in the hostile case. */

import assert from "node:assert/strict";

/** As stated in docs/ARCHITECTURE.md. */
const LEAST = 0.4;
const MOST = 1.1;

Deno.test("[MB1] [MB2] a thousand connections that ask all they may stay under the limit, and the heap agrees", async () => {
  const script = new URL("../support/measure_memory.ts", import.meta.url).pathname;
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "--v8-flags=--expose-gc", script, "--hostile"],
  }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
  const measured = JSON.parse(new TextDecoder().decode(stdout));
  for (const [filling, { kept, most, limit, heap }] of Object.entries<Record<string, number>>(measured)) {
    assert.ok(kept !== undefined && most !== undefined && limit !== undefined && heap !== undefined);
    assert.ok(most <= limit && kept > 0.9 * limit, `${filling}: ${kept}, at most ${most} of ${limit}`);
    const factor = heap / kept;
    assert.ok(
      factor > LEAST && factor < MOST,
      `${filling}: the heap is ${factor.toFixed(2)} of what is counted`,
    );
  }
  assert.deepEqual(Object.keys(measured), ["oneByte", "twoBytes"]);
});
