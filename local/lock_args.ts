/** The lock files of the functions' processes on this machine. */

import { fileURLToPath } from "node:url";

const FOLDER = new URL("../.ci/tmp/", import.meta.url);

/**
 * The flag with the lock file for a process that runs a function: Deno makes the file at the first start. Without one it reads about every version of
 * every package at each start, which takes a fifth of its CPU time. The project's own lock file is of another `deno.json`,
 * and an older Deno cannot read what this one writes.
 */
export function lockArgs(name: string, denoPath: string): string[] {
  if (denoPath !== Deno.execPath()) return ["--no-lock"];
  try {
    Deno.mkdirSync(FOLDER, { recursive: true });
  } catch {
    // A folder that cannot be written.
    return ["--no-lock"];
  }
  return [`--lock=${fileURLToPath(new URL(`${name}.lock`, FOLDER))}`];
}
