/** The suites of `deno task test`, and how their files share processes. */

export interface Suite {
  name: string;
  folder: string;
  /** For `deno test`. A leak fails its test. `--trace-leaks`, which would show where it began, costs a sixth of all CPU. */
  flags: readonly string[];
  /** The number of test files per process. To start a process costs as much as many of the tests. */
  filesPerRun: number;
  /** After this time a process counts as hanging. */
  timeoutMinutes: number;
}

/** For tests that start processes and use sockets. */
const TRUSTED = ["-A"];
/**
 * V8's flags for the processes of tests, and for the Deno processes that they start. PGlite lives too briefly in them to be worth
 * V8's optimizing compiler, which costs up to two seconds of CPU a database.
 */
export const V8_FLAGS = "--liftoff-only,--wasm-lazy-compilation";

/** In the order in which they start: the slowest first, so that no long file starts when everything else is done. */
export const SUITES: readonly Suite[] = [
  { name: "chaos", folder: "tests/chaos", flags: TRUSTED, filesPerRun: 1, timeoutMinutes: 10 },
  { name: "browser", folder: "tests/browser", flags: TRUSTED, filesPerRun: 4, timeoutMinutes: 10 },
  { name: "wire", folder: "tests/wire", flags: TRUSTED, filesPerRun: 6, timeoutMinutes: 15 },
  { name: "contract", folder: "tests/contract", flags: TRUSTED, filesPerRun: 7, timeoutMinutes: 10 },
  // No permissions at all: a module with ambient I/O fails here.
  { name: "unit", folder: "tests/unit", flags: [], filesPerRun: 100, timeoutMinutes: 5 },
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
 * What `filters` select: a suite by its name, or a test file by a part of its path; everything if there are no filters.
 * Throws if a filter matches nothing, so that a misspelled name is not a green run.
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

/**
 * The processes of a selection, each with its share of the files. A selection without files still gets a run, which
 * fails.
 */
export function runsOf({ suite, files }: Selection): Selection[] {
  const runs: Selection[] = [];
  for (let first = 0; first < files.length; first += suite.filesPerRun) {
    runs.push({ suite, files: files.slice(first, first + suite.filesPerRun) });
  }
  return runs.length > 0 ? runs : [{ suite, files }];
}
