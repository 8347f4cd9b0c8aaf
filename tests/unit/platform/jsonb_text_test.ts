import assert from "node:assert/strict";
import fc from "fast-check";
import { fromJsonbText, toJsonbText } from "../../../supabase/functions/_shared/platform/jsonb_text.ts";

const unit = fc.oneof(
  fc.constantFrom(
    "\0",
    "\ud83d",
    "\ude00",
    "\ue0ff",
    "0000",
    "e0ff",
    "\\",
    "\\u0000",
    "\\ud83d",
    "\\\\",
    '"',
    "\n",
  ),
  fc.string({ unit: "binary", maxLength: 3 }),
);
const text = fc.array(unit, { maxLength: 10 }).map((units) => units.join(""));

Deno.test("[DU3] any JSON comes back, and nothing that jsonb refuses goes", () => {
  fc.assert(
    // Texts, not keys: V8 itself may misread a key with an escape (see the contract suite). Otherwise keys are text
    // like the rest.
    fc.property(fc.oneof(text, fc.array(text)), (value) => {
      const json = JSON.stringify(value);
      const sent = toJsonbText(json);
      // What jsonb would store: the same strings, and it refuses none of them.
      const strings: string[] = [];
      JSON.parse(sent, (_, held) => {
        if (typeof held === "string") strings.push(held);
        return held;
      });
      for (const string of strings) assert.ok(string.isWellFormed() && !string.includes("\0"));
      // Written by an encoder that escapes only what it must, as PostgreSQL does.
      assert.equal(JSON.stringify(JSON.parse(fromJsonbText(sent))), JSON.stringify(JSON.parse(json)));
    }),
    { numRuns: 2000 },
  );
});

Deno.test("[DU3] usual text is not touched, backslashes before it or not", () => {
  for (const value of ["", "plain", "é\u{1F600}\u2028", "\\u0000", "C:\\ud83d", "\ue000"]) {
    const json = JSON.stringify({ value });
    assert.equal(toJsonbText(json), json);
    assert.equal(fromJsonbText(json), json);
  }
  assert.equal(
    toJsonbText(JSON.stringify("a\0\ud83d\ue0ff\\\0")),
    '"a\ue0ff0000\ue0ffd83d\ue0ffe0ff\\\\\ue0ff0000"',
  );
});
