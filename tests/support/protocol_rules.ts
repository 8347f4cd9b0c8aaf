/** The numbered rules of docs/PROTOCOL.md, and the tests whose titles begin with their numbers. */

import { withSection } from "./section.ts";
import { filesUnder, read } from "./source_files.ts";

/** The rule numbers of a page, in order: lines that begin like `- **HS1** …`. Throws if a number is repeated. */
export function parseRules(markdown: string): string[] {
  const ids = [...markdown.matchAll(/^(?:[-*] )?\*\*([A-Z]{2,3}\d+)\*\*/gm)].map(([, id = ""]) => id);
  const twice = ids.find((id, index) => ids.indexOf(id) !== index);
  if (twice !== undefined) throw new Error(`Cannot read the rules: there are two with number ${twice}`);
  return ids;
}

/** The rule numbers at the start of titles in a test file: string literals such as `"[HS1] [HS4] the welcome …"`. */
export function rulesTested(source: string): string[] {
  const titles = source.matchAll(/(["'`])((?:\[[A-Z]{2,3}\d+\] )+)/g);
  return [...titles].flatMap(([, , ids = ""]) => ids.trim().split(" ").map((id) => id.slice(1, -1)));
}

/** The test files of each rule. `files` maps each path to its text. */
export function testsByRule(files: ReadonlyMap<string, string>): Map<string, string[]> {
  const tests = new Map<string, string[]>();
  for (const [file, source] of files) {
    for (const id of new Set(rulesTested(source))) tests.set(id, [...tests.get(id) ?? [], file]);
  }
  return tests;
}

/** The project's test files with their text, except the test of this module. */
export function projectTests(): Map<string, string> {
  const files = filesUnder("tests", "_test.ts").filter((file) => !file.endsWith("protocol_rules_test.ts"));
  return new Map(files.map((file) => [file, read(file)]));
}

/** The page with a new table of which test covers which rule. */
export function withTable(markdown: string, tests: ReadonlyMap<string, readonly string[]>): string {
  const rows = parseRules(markdown).map((id) => {
    const links = (tests.get(id) ?? []).map((file) => `[${file.replace(/^tests\//, "")}](../${file})`);
    return `| ${id} | ${links.join(" · ")} |`;
  });
  return withSection(markdown, {
    name: "rules",
    text: ["| rule | tests |", "|---|---|", ...rows].join("\n"),
  });
}
