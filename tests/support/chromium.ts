/**
 * Finds Chromium, or installs Debian's if that is allowed. Tests are never skipped: without a browser they fail and
 * give the reason.
 */

import { type Browser, chromium } from "playwright-core";

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
  const executablePath = await findChromium() ?? await installChromium();
  return await chromium.launch({ executablePath, args: QUIET });
}

async function findChromium(): Promise<string | undefined> {
  const named = Deno.env.get("CHROMIUM_PATH");
  if (named !== undefined && named !== "") return named;
  const separator = Deno.build.os === "windows" ? ";" : ":";
  const folders = (Deno.env.get("PATH") ?? "").split(separator);
  const places = [...folders.flatMap((folder) => NAMES.map((name) => `${folder}/${name}`)), ...ELSEWHERE];
  for (const place of places) {
    const file = await Deno.stat(place).catch(() => undefined);
    if (file?.isFile) return place;
  }
  return undefined;
}

async function installChromium(): Promise<string> {
  const hasApt = (await Deno.stat("/usr/bin/apt-get").catch(() => undefined))?.isFile ?? false;
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
