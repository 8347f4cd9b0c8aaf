/** The suites of `deno task test`, and how their files share processes. */

export interface Suite {
  name: string;
  folder: string;
  /** For `deno test`. A leak fails its test; `--trace-leaks`, which would say where it began, costs a sixth of all CPU. */
  flags: readonly string[];
  /** Test files that share one process: starting one costs as much as many a test. */
  filesPerRun: number;
  /** When one such process is taken to hang. */
  timeoutMinutes: number;
}

/** For tests that start processes and talk over sockets. */
const TRUSTED = ["-A"];

/** In the order they start: what takes longest first, so that no long file begins when everything else is done. */
export const SUITES: readonly Suite[] = [
  { name: "chaos", folder: "tests/chaos", flags: TRUSTED, filesPerRun: 1, timeoutMinutes: 5 },
  { name: "wire", folder: "tests/wire", flags: TRUSTED, filesPerRun: 3, timeoutMinutes: 10 },
  { name: "browser", folder: "tests/browser", flags: TRUSTED, filesPerRun: 4, timeoutMinutes: 5 },
  { name: "contract", folder: "tests/contract", flags: TRUSTED, filesPerRun: 5, timeoutMinutes: 5 },
  // No permissions at all: a module that reaches for the outside world by itself fails here.
  { name: "unit", folder: "tests/unit", flags: [], filesPerRun: 60, timeoutMinutes: 5 },
  {
    name: "docs",
    folder: "tests/docs",
    flags: ["--allow-read=."],
    filesPerRun: 10,
    timeoutMinutes: 5,
  },
  {
    name: "simulation",
    folder: "tests/simulation",
    flags: ["--allow-read=tests/simulation"],
    filesPerRun: 2,
    timeoutMinutes: 5,
  },
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

/** The processes that run a selection: each with its share of the files. One without files is there to fail. */
export function runsOf({ suite, files }: Selection): Selection[] {
  const runs: Selection[] = [];
  for (let first = 0; first < files.length; first += suite.filesPerRun) {
    runs.push({ suite, files: files.slice(first, first + suite.filesPerRun) });
  }
  return runs.length > 0 ? runs : [{ suite, files }];
}
