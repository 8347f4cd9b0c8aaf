/** What the gate checks beside the tests. */

import { filesUnder, foldersIn, read } from "./source_files.ts";

/** The runtime that Supabase's platform is compatible with. */
const PLATFORM_DENO = "deno@2.1.4";
/** Checked by itself: with the types of a browser in sight the rest could use what only a browser has. */
const PAGE = "playground";
const DOCUMENTED = ["supabase/functions/_shared/ports", "supabase/functions/_shared/protocol"];

/** How long the session core is simulated, with seeds that no run had before. The output names them, and those that fail. */
const SIMULATED_SECONDS = 60;

export interface Check {
  name: string;
  command: string;
  args: readonly string[];
  /** Beside the environment of the run itself. */
  env?: Record<string, string>;
  /** Says what is wrong, if anything is, where the exit code alone does not tell. */
  judge?: (run: { output: string; success: boolean }) => string;
  /** Whether its output is shown also where nothing is wrong. */
  isShown?: boolean;
}

/** Every check of the gate, for a project as it is on disk. */
export function staticChecks(): Check[] {
  const deno = Deno.execPath();
  const documented = DOCUMENTED.flatMap((path) => path.endsWith(".ts") ? [path] : filesUnder(path, ".ts"));
  const entries = filesUnder("supabase/functions", "deno.json")
    .map((config) => ({ config, entry: config.replace(/deno\.json$/, "index.ts") }));
  return [
    { name: "format", command: deno, args: ["fmt", "--check"] },
    { name: "lint", command: deno, args: ["lint"] },
    checkTypesOf(codeFolders()),
    {
      name: `simulation for ${SIMULATED_SECONDS} s`,
      command: deno,
      args: ["task", "--quiet", "simulate", "--seconds", String(SIMULATED_SECONDS)],
      isShown: true,
    },
    { name: "types of the page", command: deno, args: ["check", "--quiet", "--frozen", PAGE] },
    { name: "examples in docstrings", command: deno, args: ["check", "--quiet", "--doc", ...documented] },
    { name: "docstrings", command: deno, args: ["doc", "--lint", ...documented], judge: judgeDocLint },
    ...entries.map(({ config, entry }) => ({
      name: `types of ${entry} under ${PLATFORM_DENO}`,
      command: "npx",
      args: ["-y", PLATFORM_DENO, "check", "--quiet", "--no-lock", "--config", config, entry],
      // Unlike later ones it does not look at the system's certificates by itself, which a proxy may need.
      env: { DENO_TLS_CA_STORE: "mozilla,system" },
    })),
  ];
}

/** The types of some files, and of what they import. */
export function checkTypesOf(files: readonly string[]): Check {
  return { name: "types", command: Deno.execPath(), args: ["check", "--quiet", "--frozen", ...files] };
}

/** The project's folders with code, but for the page's. */
function codeFolders(): string[] {
  const { exclude }: { exclude: string[] } = JSON.parse(read("deno.json"));
  return foldersIn("").filter((folder) =>
    folder !== PAGE && !folder.startsWith(".") && !exclude.includes(folder) &&
    filesUnder(folder, ".ts").length > 0
  );
}

/**
 * What of `deno doc --lint`'s findings we mend. Everything exported is to be documented, but a member whose name and
 * type say it all need not be, nor an alias of what a schema infers; and the types of schemas are inferred, which is
 * what zod is for.
 */
export function judgeDocLint({ output, success }: { output: string; success: boolean }): string {
  // deno-lint-ignore no-control-regex -- colours
  const findings = output.replace(/\x1b\[[0-9;]*m/g, "").split(/^(?=error\[)/m);
  if (!success && findings.length < 2) return output;
  return findings.filter((finding) => {
    const code = /^error\[([\w-]+)\]/.exec(finding)?.[1];
    if (code === undefined || code === "missing-explicit-type" || code === "private-type-ref") return false;
    return code !== "missing-jsdoc" || /^ *\d+ \| export (?!type )/m.test(finding);
  }).join("");
}
