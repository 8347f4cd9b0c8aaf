/**
 * `deno task bundle`: builds the functions as a few JavaScript files each, with the packages in them, for a quicker cold start.
 * The target is dist/bundle, or the folder given as argument; it is emptied first. `supabase functions deploy --workdir <folder>`
 * deploys it (docs/DEPLOY.md).
 */

// deno-lint-ignore-file no-console -- a command-line tool

import { resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const FUNCTIONS = ["agent_websocket", "notify_websocket"];
const SOURCE = new URL("../supabase/", import.meta.url);
/** The imports at the beginning of a minified file. */
const IMPORTS = /^(?:import[^;]*;)+/;

const [folder = fileURLToPath(new URL("../dist/bundle", import.meta.url))] = Deno.args;
const target = new URL("supabase/", pathToFileURL(`${resolve(folder)}/`));
await Deno.remove(target, { recursive: true }).catch(() => {});
for (const name of FUNCTIONS) {
  const files = await bundle(name);
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  console.log(`${name}: ${files.length} files, ${Math.ceil(bytes / 1000)} KB`);
}
await Deno.writeTextFile(new URL("config.toml", target), await configToml());
console.log(`Deploy: npx supabase functions deploy ${FUNCTIONS.join(" ")} --use-api --workdir ${folder}`);

/** Returns the files of the function's bundle. */
async function bundle(name: string): Promise<{ size: number }[]> {
  const source = new URL(`functions/${name}/`, SOURCE);
  const output = new URL(`functions/${name}/`, target);
  const { success } = await new Deno.Command(Deno.execPath(), {
    args: [
      "bundle",
      "--quiet",
      // The function's own packages. A lock file would be written beside it, and be deployed.
      `--config=${fileURLToPath(new URL("deno.json", source))}`,
      "--no-lock",
      "--minify",
      "--keep-names",
      // What is loaded when it is needed stays a file of its own.
      "--code-splitting",
      `--outdir=${fileURLToPath(output)}`,
      fileURLToPath(new URL("index.ts", source)),
    ],
    stdin: "null",
    stdout: "inherit",
    stderr: "inherit",
  }).output();
  if (!success) throw new Error(`Cannot bundle ${name}: see above`);
  const files: { size: number }[] = [];
  for await (const { name: file } of Deno.readDir(output)) {
    const path = new URL(file, output);
    // The CLI finds imports by a regular expression that wants a space there.
    const code = (await Deno.readTextFile(path))
      .replace(IMPORTS, (imports) => imports.replaceAll(/(^|;)import(?=\W)/g, "$1import "));
    await Deno.writeTextFile(path, code);
    files.push({ size: code.length });
  }
  return files;
}

/** The project's settings of the functions, with the entries of the bundle. */
async function configToml(): Promise<string> {
  const settings = await Deno.readTextFile(new URL("config.toml", SOURCE));
  return FUNCTIONS.reduce((text, name) => {
    const section = `[functions.${name}]\n`;
    if (!text.includes(section)) {
      throw new Error(`Cannot bundle: supabase/config.toml has no ${section.trim()}`);
    }
    return text.replace(section, `${section}entrypoint = "./functions/${name}/index.js"\n`);
  }, settings);
}
