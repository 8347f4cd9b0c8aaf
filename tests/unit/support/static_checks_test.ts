import assert from "node:assert/strict";
import { judgeDocLint } from "../../support/static_checks.ts";

function finding(code: string, line: string): string {
  return `error[${code}]: some words\n  --> /a.ts:8:14\n  | \n8 | ${line}\n  |        ^\n\n\n`;
}

Deno.test("judgeDocLint: what is exported is documented; its members and inferred types may speak for themselves", () => {
  const undocumented = finding("missing-jsdoc", "export interface Clock {");
  const tolerated = [
    finding("missing-jsdoc", "  now(): number;"),
    finding("missing-jsdoc", "export type QueryFrame = z.infer<typeof queryFrame>;"),
    finding("missing-explicit-type", "export const frame = z.object({"),
    finding("private-type-ref", "export type QueryFrame = z.infer<typeof queryFrame>;"),
  ].join("");
  assert.equal(judgeDocLint({ output: "", success: true }), "");
  assert.equal(judgeDocLint({ output: tolerated, success: false }), "");
  assert.equal(judgeDocLint({ output: tolerated + undocumented, success: false }), undocumented);
  assert.notEqual(
    judgeDocLint({ output: finding("missing-return-type", "export function f("), success: false }),
    "",
  );
});

Deno.test("judgeDocLint: colours do not blind it, and a command that broke is no clean result", () => {
  const coloured = "\x1b[0m\x1b[1merror[missing-jsdoc]\x1b[0m: words\n\x1b[0m8 | \x1b[0mexport function f(\n";
  assert.match(judgeDocLint({ output: coloured, success: false }), /export function f/);
  assert.equal(judgeDocLint({ output: "error: no such file", success: false }), "error: no such file");
});
