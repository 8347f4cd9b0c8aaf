/** The suites of `deno task test`, in the order they run. */

export interface Suite {
  name: string;
  folder: string;
  /** For `deno test`. */
  flags: readonly string[];
  /** When it is taken to hang. */
  timeoutMinutes: number;
}

export const SUITES: readonly Suite[] = [
  // No permissions at all: a module that reaches for the outside world by itself fails here.
  { name: "unit", folder: "tests/unit", flags: ["--trace-leaks"], timeoutMinutes: 5 },
  { name: "contract", folder: "tests/contract", flags: ["--trace-leaks", "-A"], timeoutMinutes: 5 },
  { name: "docs", folder: "tests/docs", flags: ["--trace-leaks", "--allow-read=."], timeoutMinutes: 5 },
  { name: "wire", folder: "tests/wire", flags: ["--trace-leaks", "-A"], timeoutMinutes: 15 },
  { name: "browser", folder: "tests/browser", flags: ["--trace-leaks", "-A"], timeoutMinutes: 5 },
  { name: "chaos", folder: "tests/chaos", flags: ["--trace-leaks", "-A"], timeoutMinutes: 5 },
];

export interface Selection {
  suite: Suite;
  files: readonly string[];
}

/**
 * What `filters` choose: a suite by its name, a test file by a part of its path, everything where there are none.
 * Throws where one chooses nothing, so that a misspelled name is no green run.
 */
export function select(
  suites: readonly { suite: Suite; files: readonly string[] }[],
  filters: readonly string[],
): Selection[] {
  const unused = new Set(filters);
  const names = suites.map(({ suite }) => suite.name);
  const selected = suites.map(({ suite, files }) => ({
    suite,
    files: files.filter((file) => {
      const matching = filters.filter((filter) =>
        names.includes(filter) ? filter === suite.name : file.includes(filter)
      );
      matching.forEach((filter) => unused.delete(filter));
      return filters.length === 0 || matching.length > 0;
    }),
  }));
  if (unused.size > 0) {
    throw new Error(
      `Cannot run ${[...unused].join(", ")}: no suite (${names.join(", ")}) and no test file has that name`,
    );
  }
  return filters.length === 0 ? selected : selected.filter(({ files }) => files.length > 0);
}
