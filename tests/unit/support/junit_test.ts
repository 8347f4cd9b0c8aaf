import assert from "node:assert/strict";
import { countTests } from "../../support/junit.ts";

const FILE = "tests/unit/a_test.ts";

function report(...cases: string[]): string {
  return `<testsuites>${cases.join("\n")}</testsuites>`;
}

function testCase(name: string, body = "", file = FILE): string {
  return `<testcase name="${name}" classname="./${file}" time="0.1" line="1" col="6">\n${body}</testcase>`;
}

Deno.test("countTests counts tests, and not their steps", () => {
  const text = report(
    testCase("a"),
    testCase("b", '<failure message="Uncaught">&lt;testcase&gt;</failure>'),
    testCase("c", '<error message="Cancelled"/>'),
    testCase("a &gt; step"),
    testCase("b &gt; step", '<failure message="x">y</failure>'),
    testCase("lonely &gt; name"),
  );
  assert.deepEqual(countTests({ report: text, files: [FILE], success: false }), {
    passed: 2,
    failed: 2,
    complaints: [],
  });
});

Deno.test("countTests takes a test that was skipped, or a step, for a failure", () => {
  const text = report(testCase("a"), testCase("b", "<skipped/>"), testCase("a &gt; step", "<skipped/>"));
  assert.deepEqual(countTests({ report: text, files: [FILE], success: true }), {
    passed: 1,
    failed: 2,
    complaints: [`${FILE}: "b" was skipped`, `${FILE}: "a > step" was skipped`],
  });
});

Deno.test("countTests takes a file without tests for a failure", () => {
  const files = [FILE, "tests/unit/b_test.ts"];
  assert.deepEqual(countTests({ report: report(testCase("a")), files, success: true }), {
    passed: 1,
    failed: 1,
    complaints: ["tests/unit/b_test.ts: no test ran"],
  });
});

Deno.test("countTests takes a crash for a failure", () => {
  assert.equal(countTests({ report: undefined, files: [FILE], success: false }).failed, 1);
  assert.equal(countTests({ report: undefined, files: [FILE], success: true }).failed, 1);
  assert.deepEqual(countTests({ report: report(testCase("a")), files: [FILE], success: false }), {
    passed: 1,
    failed: 1,
    complaints: ["deno test failed, though no test did"],
  });
});
