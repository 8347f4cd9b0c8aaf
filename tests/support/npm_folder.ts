/**
 * A folder with the npm package as a user gets it: built, packed, and installed together with other packages from the
 * registry.
 */

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { bareEnv } from "./local_stack.ts";
import { read, urlOf } from "./source_files.ts";

export interface Run {
  cwd: string | URL;
  /** Added to the environment variables for Node and npm. */
  env?: Readonly<Record<string, string>>;
}

/** Runs a command and returns its output. If the command fails, throws an error with the whole output. */
export async function run(command: string, args: readonly string[], { cwd, env }: Run): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, {
    args: [...args],
    cwd,
    clearEnv: true,
    env: { ...nodeEnv(), ...env },
    stdin: "null",
  }).output();
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  assert.ok(success, `${command} ${args.join(" ")}:\n${out}\n${err}`);
  return out ?? "";
}

/** The environment variables for Node and npm. */
export function nodeEnv(): Record<string, string> {
  return { ...bareEnv(), NO_COLOR: "1", npm_config_update_notifier: "false" };
}

/** What the tests of the package install beside it. A name without a version gets the version in deno.json. */
const PACKAGES = ["ai", "vite", "ws", "undici@6.29.1"];
/** Where the package is built. */
const BUILT = urlOf("dist/npm/");

let made: Promise<string> | undefined;

/**
 * A folder in which the package is installed, as npm installs it from its tarball, with {@linkcode PACKAGES}. Built in `dist/npm`
 * and installed once for each process, which removes the folder when it ends. Node treats files in the folder as modules.
 */
export function npmFolder(): Promise<string> {
  return made ??= make();
}

async function make(): Promise<string> {
  await run(Deno.execPath(), ["run", "-A", "client/npm/build.ts", fileURLToPath(BUILT)], { cwd: urlOf("") });
  const folder = await Deno.makeTempDir();
  addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));
  await run("npm", ["pack", "--pack-destination", folder], { cwd: BUILT });
  const [tarball = ""] = [...Deno.readDirSync(folder)].map(({ name }) => name);
  Deno.writeTextFileSync(`${folder}/package.json`, JSON.stringify({ private: true, type: "module" }));
  const all = [`./${tarball}`, ...PACKAGES.map(pinned)];
  await run("npm", ["install", "--no-audit", "--no-fund", "--save-exact", ...all], { cwd: folder });
  return folder;
}

/** Runs the TypeScript compiler of deno.json on files of the folder. To install it there would take as long as all the rest. */
export async function tsc(folder: string, args: readonly string[]): Promise<void> {
  const { resolve } = createRequire(import.meta.resolve("typescript"));
  await run("node", [resolve("typescript/lib/tsc.js"), ...args], { cwd: folder });
}

/** A package name with its version. */
function pinned(name: string): string {
  if (name.includes("@")) return name;
  const { imports } = JSON.parse(read("deno.json"));
  return `${name}@${String(imports[name]).split("@").at(-1)}`;
}
