import assert from "node:assert/strict";
import { runsOf, select, type Suite } from "../../support/suites.ts";

const unit: Suite = { name: "unit", folder: "tests/unit", flags: [], filesPerRun: 2, timeoutMinutes: 1 };
const wire: Suite = { ...unit, name: "wire", folder: "tests/wire" };
const empty: Suite = { ...unit, name: "empty", folder: "tests/empty" };
const SUITES = [
  { suite: unit, files: ["tests/unit/config_test.ts", "tests/unit/protocol/decode_test.ts"] },
  { suite: wire, files: ["tests/wire/welcome_test.ts"] },
  { suite: { ...unit, name: "docs" }, files: ["tests/docs/wire_documents_test.ts"] },
  { suite: empty, files: [] },
];

function chosen(...filters: string[]): [string, readonly string[]][] {
  return select(SUITES, filters).map(({ suite, files }) => [suite.name, files]);
}

Deno.test("select: without filters every suite runs, one without files too, so that it fails", () => {
  assert.deepEqual(chosen().map(([name]) => name), ["unit", "wire", "docs", "empty"]);
});

Deno.test("select: a suite by its name, a file by a part of its path", () => {
  assert.deepEqual(chosen("wire"), [["wire", ["tests/wire/welcome_test.ts"]]]);
  assert.deepEqual(chosen("decode"), [["unit", ["tests/unit/protocol/decode_test.ts"]]]);
  assert.deepEqual(chosen("decode", "wire").map(([name]) => name), ["unit", "wire"]);
});

Deno.test("select: a name that chooses nothing is an error", () => {
  assert.throws(
    () => chosen("unit", "decoed"),
    /^Error: Cannot run decoed: no suite \(unit, wire, docs, empty\)/,
  );
  assert.throws(() => chosen("empty"), /Cannot run empty/);
});

Deno.test("runsOf: the files in their order, so many a process; without files one run, which fails", () => {
  const filesOf = (files: readonly string[]): (readonly string[])[] =>
    runsOf({ suite: unit, files }).map((run) => run.files);
  assert.deepEqual(filesOf(["a", "b", "c"]), [["a", "b"], ["c"]]);
  assert.deepEqual(filesOf(["a", "b"]), [["a", "b"]]);
  assert.deepEqual(filesOf([]), [[]]);
});
