/** Reads how a run of `deno test` went off the JUnit report that it writes. */

export interface TestCounts {
  passed: number;
  failed: number;
  /** What makes a run fail although no test of it did: a test left out, a file without tests, a crash. */
  complaints: string[];
}

export interface TestRun {
  /** The report; undefined where none was written. */
  report: string | undefined;
  /** The test files that were to run, relative to the project's root. */
  files: readonly string[];
  /** Whether `deno test` itself ended well. */
  success: boolean;
}

/** Counts tests, not their steps; every complaint counts as one failure. */
export function countTests({ report = "", files, success }: TestRun): TestCounts {
  const counts: TestCounts = { passed: 0, failed: 0, complaints: [] };
  const seen = new Map<string, string[]>();
  for (const { name, file, body } of testCases(report)) {
    if (body.includes("<skipped")) {
      counts.complaints.push(`${file}: "${name}" was skipped`);
      continue;
    }
    // Steps come after the tests, as "test > step"; a failed one has failed its test too.
    const before = seen.get(file) ?? [];
    if (before.some((test) => name.startsWith(`${test} > `))) continue;
    seen.set(file, [...before, name]);
    if (/<(failure|error)\b/.test(body)) counts.failed++;
    else counts.passed++;
  }
  for (const file of files) {
    if (!seen.has(file)) counts.complaints.push(`${file}: no test ran`);
  }
  if (!success && counts.failed === 0 && counts.complaints.length === 0) {
    counts.complaints.push("deno test failed, though no test did");
  }
  counts.failed += counts.complaints.length;
  return counts;
}

function testCases(report: string): { name: string; file: string; body: string }[] {
  return [...report.matchAll(/<testcase name="([^"]*)" classname="([^"]*)"[^>]*>([\s\S]*?)<\/testcase>/g)]
    .map(([, name = "", file = "", body = ""]) => ({
      name: unescapeXml(name),
      file: unescapeXml(file).replace(/^\.\//, ""),
      body,
    }));
}

function unescapeXml(text: string): string {
  const entities: Record<string, string> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };
  return text.replace(/&(lt|gt|quot|apos|amp);/g, (_, name: string) => entities[name] ?? "");
}
