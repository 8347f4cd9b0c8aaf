/** Reads the result of a `deno test` run from its JUnit report. */

export interface TestCounts {
  passed: number;
  failed: number;
  /** Reasons why a run fails although no test failed: a skipped test, a file without tests, a crash. */
  complaints: string[];
}

export interface TestRun {
  /** The report; undefined if none was written. */
  report: string | undefined;
  /** The test files of the run, relative to the project's root. */
  files: readonly string[];
  /** Whether `deno test` itself exited with success. */
  success: boolean;
}

/** Counts tests, not their steps. Every complaint counts as one failure. */
export function countTests({ report = "", files, success }: TestRun): TestCounts {
  const counts: TestCounts = { passed: 0, failed: 0, complaints: [] };
  const seen = new Map<string, string[]>();
  for (const { name, file, body } of testCases(report)) {
    if (body.includes("<skipped")) {
      counts.complaints.push(`${file}: "${name}" was skipped`);
      continue;
    }
    // Steps come after their test, as "test > step". A failed step has already failed its test.
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
