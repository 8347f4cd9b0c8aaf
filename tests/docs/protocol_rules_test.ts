import assert from "node:assert/strict";
import { parseRules, projectTests, rulesTested, testsByRule, withTable } from "../support/protocol_rules.ts";
import { read } from "../support/source_files.ts";

const PAGE = "docs/PROTOCOL.md";

const SAMPLE = `# Rules

- **ZA1** The first.
* **ZA2** The second, which is like **ZA9** but not it.
**ZB10** The third.
 - **ZB11** Indented: part of the third.

<!-- rules:begin -->
old
<!-- rules:end -->
the end
`;

Deno.test("parseRules finds the numbers that begin a line", () => {
  assert.deepEqual(parseRules(SAMPLE), ["ZA1", "ZA2", "ZB10"]);
  assert.throws(() => parseRules("**ZA1** a\n**ZA1** b"), /two with number ZA1/);
});

Deno.test("rulesTested finds the numbers that begin a title", () => {
  const source = `
    Deno.test("[ZA1] a", () => {});
    suite.test('[ZA1] [ZA2] b', f);
    test(\`[ZB10] \${name}\`, f);
    // [ZA7] is in a comment, and "of [ZA8] in the middle", and array["ZA9"]
  `;
  assert.deepEqual(rulesTested(source), ["ZA1", "ZA1", "ZA2", "ZB10"]);
});

Deno.test("withTable writes the table anew, and leaves the rest", () => {
  const tests = testsByRule(
    new Map([["tests/unit/a_test.ts", '"[ZA1] a" "[ZA1] b"'], ["tests/b_test.ts", '"[ZA1] c" "[ZB10] d"']]),
  );
  const page = withTable(SAMPLE, tests);
  const table = page.slice(page.indexOf("begin -->") + 9, page.indexOf("<!-- rules:end"));
  assert.equal(
    table,
    `

| rule | tests |
|---|---|
| ZA1 | [unit/a_test.ts](../tests/unit/a_test.ts) · [b_test.ts](../tests/b_test.ts) |
| ZA2 |  |
| ZB10 | [b_test.ts](../tests/b_test.ts) |

`,
  );
  assert.equal(withTable(page, tests), page);
  assert.equal(page.replace(table, "\nold\n"), SAMPLE);
  assert.throws(() => withTable("**ZA1** no markers", tests), /is missing/);
});

Deno.test("every rule of PROTOCOL.md has a test", () => {
  const tested = testsByRule(projectTests());
  const rules = parseRules(read(PAGE));
  assert.ok(rules.length > 0);
  assert.deepEqual(
    rules.filter((id) => !tested.has(id)),
    [],
    "rules without a test whose title begins with [rule]",
  );
});

Deno.test("every rule that a test names is in PROTOCOL.md", () => {
  const rules = new Set(parseRules(read(PAGE)));
  const unknown = [...testsByRule(projectTests())].filter(([id]) => !rules.has(id));
  assert.deepEqual(unknown, [], "titles that begin with the number of no rule");
});
