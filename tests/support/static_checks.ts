/** The checks of the gate other than the tests. */

import { filesUnder, foldersIn, read } from "./source_files.ts";

/** The runtime that Supabase's platform is compatible with. */
const PLATFORM_DENO = "deno@2.1.4";
/** Type-checked separately, so that its browser types are not visible in the rest of the code. */
const PAGE = "playground";
const EXAMPLES = "examples";
/** The others are type-checked by their test, with the packages that they install. */
const CHECKED_EXAMPLES = ["examples/orders", "examples/tools"];
const DOCUMENTED = ["supabase/functions/_shared/ports", "supabase/functions/_shared/protocol"];

/** How long the session core is simulated, with new seeds in each run. The output names the seeds, and those that fail. */
const SIMULATED_SECONDS = 60;

export interface Check {
  name: string;
  command: string;
  args: readonly string[];
  /** Added to the environment of the run itself. */
  env?: Record<string, string>;
  /** Returns a description of what is wrong, or an empty text. For checks where the exit code is not enough. */
  judge?: (run: { output: string; success: boolean }) => string;
  /** Whether its output is shown on success too. */
  isShown?: boolean;
  /** Whether it runs beside everything else: it uses the processor alone, and waits for nothing. */
  isInBackground?: boolean;
  /** Whether it uses none of the project's packages, so that it can run while they are downloaded. */
  needsNoPackages?: boolean;
}

/** Downloads the project's packages, if they are not there yet. */
export const PACKAGES: Check = {
  name: "packages",
  command: Deno.execPath(),
  args: ["install", "--quiet", "--frozen"],
};

/** Every check of the gate, for the project as it is on disk. */
export function staticChecks(): Check[] {
  const deno = Deno.execPath();
  const documented = DOCUMENTED.flatMap((path) => path.endsWith(".ts") ? [path] : filesUnder(path, ".ts"));
  // To check these types once more takes seconds, so only where there is an example.
  const examples = documented.filter((path) => read(path).includes("```"));
  return [
    ...entriesByImports().map(({ config, entries }) => ({
      name: `types of ${entries.join(" ")} under ${PLATFORM_DENO}`,
      command: "npx",
      args: ["-y", PLATFORM_DENO, "check", "--quiet", "--no-lock", "--config", config, ...entries],
      // Unlike later versions it does not use the system's certificates by default, and a proxy may need them.
      env: { DENO_TLS_CA_STORE: "mozilla,system" },
      needsNoPackages: true,
    })),
    { name: "format", command: deno, args: ["fmt", "--check"], needsNoPackages: true },
    { name: "lint", command: deno, args: ["lint"], needsNoPackages: true },
    checkTypesOf([...codeFolders(), ...CHECKED_EXAMPLES]),
    {
      name: `simulation for ${SIMULATED_SECONDS} s`,
      command: deno,
      // Not `deno task`, which would download the packages too.
      args: [...argsOfTask("simulate"), "--seconds", String(SIMULATED_SECONDS)],
      isShown: true,
      isInBackground: true,
      needsNoPackages: true,
    },
    { name: "types of the page", command: deno, args: ["check", "--quiet", "--frozen", PAGE] },
    ...(examples.length === 0 ? [] : [{
      name: "examples in docstrings",
      command: deno,
      args: ["check", "--quiet", "--doc", ...examples],
    }]),
    { name: "docstrings", command: deno, args: ["doc", "--lint", ...documented], judge: judgeDocLint },
  ];
}

/** The functions' entries, with one of the configs of those that have the same: what they share is checked once. */
function entriesByImports(): { config: string; entries: string[] }[] {
  const byText = new Map<string, { config: string; entries: string[] }>();
  for (const config of filesUnder("supabase/functions", "deno.json")) {
    const same = byText.get(read(config)) ?? { config, entries: [] };
    same.entries.push(config.replace(/deno\.json$/, "index.ts"));
    byText.set(read(config), same);
  }
  return [...byText.values()];
}

/** Type-checks files and what they import. */
export function checkTypesOf(files: readonly string[]): Check {
  return { name: "types", command: Deno.execPath(), args: ["check", "--quiet", "--frozen", ...files] };
}

/** What a task passes to Deno. */
function argsOfTask(name: string): string[] {
  const { tasks }: { tasks: Record<string, { command: string }> } = JSON.parse(read("deno.json"));
  const [deno, ...args] = tasks[name]?.command.split(" ") ?? [];
  if (deno !== "deno") throw new Error(`Cannot find the task ${name} in deno.json`);
  return args;
}

/** The project's folders with code, except those that are checked separately. */
function codeFolders(): string[] {
  const { exclude }: { exclude: string[] } = JSON.parse(read("deno.json"));
  return foldersIn("").filter((folder) =>
    folder !== PAGE && folder !== EXAMPLES && !folder.startsWith(".") && !exclude.includes(folder) &&
    filesUnder(folder, ".ts").length > 0
  );
}

/**
 * Filters the findings of `deno doc --lint` to those that we fix. Every export must be documented, except for members
 * whose name and type are clear, and aliases of types that a schema infers. Inferred types of schemas are allowed,
 * because that is what zod is for.
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
