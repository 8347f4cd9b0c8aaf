/**
 * Chromium for tests: the headless shell of npm's `@sparticuz/chromium`, which takes less than half the CPU of a whole one
 * (docs/decisions/0079), or the Chromium of this machine, or Debian's, which is installed if that is allowed. Tests are never
 * skipped: without a browser they fail and give the reason.
 */

import { join } from "node:path";
import { tmpdir } from "node:os";
import { type Browser, chromium } from "playwright-core";
import { read, urlOf } from "./source_files.ts";

/** Never called. The import makes Deno fetch the package, whose code runs in a process of its own. */
export const fetched = (): Promise<unknown> => import("@sparticuz/chromium");
/** Unpacks the executable into the folder for temporary files. */
const UNPACK = 'import chromium from "@sparticuz/chromium"; await chromium.executablePath();';

const NAMES = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];
const ELSEWHERE = [
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe",
];
/** Without these flags Chromium looks for updates, and prints errors if there is no network. */
const QUIET = [
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Starts Chromium. Rejects if none is found, with an error that says how to get one. */
export async function launchChromium(): Promise<Browser> {
  const executablePath = named() ?? await headlessShell() ?? await findChromium() ?? await installChromium();
  return await chromium.launch({ executablePath, args: QUIET });
}

function named(): string | undefined {
  return Deno.env.get("CHROMIUM_PATH") || undefined;
}

/** The package has a binary for one platform only. Undefined elsewhere, and if it does not run here: it needs Chromium's libraries. */
async function headlessShell(): Promise<string | undefined> {
  if (Deno.build.os !== "linux" || Deno.build.arch !== "x86_64") return undefined;
  // Named after the package and its version, so that another version is unpacked anew.
  const specifier: string = JSON.parse(read("deno.json")).imports["@sparticuz/chromium"];
  const folder = join(tmpdir(), `${specifier.replaceAll(/[^\w.]+/g, "-")}-${Deno.uid()}`);
  const executable = join(folder, "chromium");
  if (await isFile(executable)) return executable;
  const making = await Deno.makeTempDir();
  try {
    const isUnpacked = await succeeds(Deno.execPath(), ["eval", UNPACK], { TMPDIR: making });
    if (!isUnpacked || !await succeeds(join(making, "chromium"), ["--version"])) return undefined;
    // Two processes may do this at the same time. The second one discards its result.
    await Deno.rename(making, folder).catch(() => {});
    return await isFile(executable) ? executable : undefined;
  } finally {
    await Deno.remove(making, { recursive: true }).catch(() => {});
  }
}

async function succeeds(command: string, args: string[], env: Record<string, string> = {}): Promise<boolean> {
  const options = { args, env, cwd: urlOf(""), stdin: "null", stdout: "null", stderr: "null" } as const;
  return (await new Deno.Command(command, options).output()).success;
}

async function isFile(path: string): Promise<boolean> {
  return await Deno.stat(path).then(({ isFile }) => isFile, () => false);
}

async function findChromium(): Promise<string | undefined> {
  const separator = Deno.build.os === "windows" ? ";" : ":";
  const folders = (Deno.env.get("PATH") ?? "").split(separator);
  const places = [...folders.flatMap((folder) => NAMES.map((name) => `${folder}/${name}`)), ...ELSEWHERE];
  for (const place of places) if (await isFile(place)) return place;
  return undefined;
}

async function installChromium(): Promise<string> {
  const hasApt = await isFile("/usr/bin/apt-get");
  if (!hasApt || Deno.uid() !== 0) {
    throw missing("none was found, and only root on Debian may install it here");
  }
  const packages = ["chromium", "fonts-dejavu-core"];
  await run("apt-get", ["update", "-qq"]);
  await run("apt-get", ["install", "-y", "-qq", "--no-install-recommends", ...packages]);
  const found = await findChromium();
  if (found === undefined) throw missing("apt-get installed it, and it is still not on PATH");
  return found;
}

async function run(command: string, args: string[]): Promise<void> {
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  const { success, stdout, stderr } = await new Deno.Command(command, { args, env, stdin: "null" }).output();
  if (success) return;
  const said = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  throw missing(`\`${command} ${args.join(" ")}\` failed: ${said.slice(-2000)}`);
}

function missing(why: string): Error {
  return new Error(
    `Cannot run the browser tests: Chromium is missing (${why}). Install it (Debian: apt-get install chromium), ` +
      "or name one by CHROMIUM_PATH",
  );
}
