import assert from "node:assert/strict";
import { childSeconds } from "../../support/child_cpu.ts";

Deno.test("childSeconds reads the time of the children, whatever the process is called", () => {
  const numbers = Array.from({ length: 50 }, (_, index) => index === 12 ? 250 : index === 13 ? 75 : 9);
  for (const name of ["deno", "a b", "a) S 1 (", ")"]) {
    assert.equal(childSeconds(`4711 (${name}) S ${numbers.join(" ")}\n`), 3.25, name);
  }
});

Deno.test("childSeconds of something else is undefined", () => {
  assert.equal(childSeconds(""), undefined);
  assert.equal(childSeconds("4711 (deno) S 1 2"), undefined);
});
