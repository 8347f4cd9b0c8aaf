/**
 * `deno task bundle`: builds the functions as a few JavaScript files each, with the packages in them, for a quicker cold start.
 * They go to dist/bundle, or to the folder given as argument, which is replaced if it is an older bundle. `supabase functions deploy
 * --workdir <folder>` deploys it (docs/DEPLOY.md).
 */

// deno-lint-ignore-file no-console -- a command-line tool

import { cp } from "node:fs/promises";
import { resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const FUNCTIONS = ["agent_websocket", "notify_websocket"];
const SOURCE = new URL("../supabase/functions/", import.meta.url);
/** The first line of a bundle's `config.toml`. Nothing without it is ever removed. */
const MARK = "# Made by `deno task bundle`. Changes are lost.";
/** The imports at the beginning of a minified file. */
const IMPORTS = /^(?:import[^;]*;)+/;

const [argument] = Deno.args;
// `deno task` changes to the project's root; a path is the caller's.
const folder = argument === undefined
  ? fileURLToPath(new URL("../dist/bundle", import.meta.url))
  : resolve(Deno.env.get("INIT_CWD") ?? Deno.cwd(), argument);
const making = await Deno.makeTempDir();
try {
  for (const name of FUNCTIONS) {
    const sizes = await bundle(name, pathToFileURL(`${making}/supabase/functions/${name}/`));
    const bytes = sizes.reduce((sum, size) => sum + size, 0);
    console.log(`${name}: ${sizes.length} files, ${Math.ceil(bytes / 1000)} KB`);
  }
  await Deno.writeTextFile(`${making}/supabase/config.toml`, configToml());
  await replace(folder, making);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  Deno.exit(1);
} finally {
  await Deno.remove(making, { recursive: true }).catch(() => {});
}
console.log(
  `Deploy: npx supabase functions deploy ${FUNCTIONS.join(" ")} --use-api --yes ` +
    `--workdir ${JSON.stringify(folder)} --project-ref <your-project-ref>`,
);

/** Returns the sizes of the files of the function's bundle. */
async function bundle(name: string, target: URL): Promise<number[]> {
  const source = new URL(`${name}/`, SOURCE);
  const { success } = await new Deno.Command(Deno.execPath(), {
    args: [
      "bundle",
      "--quiet",
      // The function's own packages. A lock file would be written beside it, and be deployed.
      `--config=${fileURLToPath(new URL("deno.json", source))}`,
      "--no-lock",
      // With `--keep-names` as well, packages in CommonJS would find no `require` (Deno 2.9.6).
      "--minify",
      // What is loaded when it is needed stays a file of its own.
      "--code-splitting",
      `--outdir=${fileURLToPath(target)}`,
      fileURLToPath(new URL("index.ts", source)),
    ],
    stdin: "null",
    stdout: "inherit",
    stderr: "inherit",
  }).output();
  if (!success) throw new Error(`Cannot bundle ${name}: see above`);
  const sizes: number[] = [];
  for await (const { name: file } of Deno.readDir(target)) {
    const path = new URL(file, target);
    // The CLI finds imports by a regular expression that wants a space there.
    const code = (await Deno.readTextFile(path))
      .replace(IMPORTS, (imports) => imports.replaceAll(/(^|;)import(?=\W)/g, "$1import "));
    await Deno.writeTextFile(path, code);
    sizes.push(code.length);
  }
  return sizes;
}

/** The CLI takes everything else from its command line, and the functions check tokens themselves. */
function configToml(): string {
  const sections = FUNCTIONS.map((name) =>
    `[functions.${name}]\nverify_jwt = false\nentrypoint = "./functions/${name}/index.js"\n`
  );
  return [`${MARK}\nproject_id = "agent-websocket"\n`, ...sections].join("\n");
}

/** Throws if there is something else than an older bundle. */
async function replace(folder: string, made: string): Promise<void> {
  const config = `${folder}/supabase/config.toml`;
  const old = await Deno.readTextFile(config).catch(() => "");
  const isThere = await Deno.stat(`${folder}/supabase`).then(() => true, () => false);
  if (isThere && !old.startsWith(MARK)) {
    throw new Error(`Cannot write to ${folder}: its folder "supabase" is no bundle. Name another folder`);
  }
  if (isThere) await Deno.remove(`${folder}/supabase`, { recursive: true });
  // A rename would fail between two disks.
  await cp(`${made}/supabase`, `${folder}/supabase`, { recursive: true });
}
