/**
 * Detects the end of the stack's launcher if no signal is passed on. SIGTERM ends `npx` and its shell, but `deno task`
 * continues; SIGKILL ends `deno task`, but the stack continues.
 */

const LOOK_MS = 250;
/** The process that adopts orphans. In a container it may be the launcher itself. */
const INIT = 1;
const LAUNCHERS = /^(npm|node|pnpm|yarn|bun)/;

/**
 * Calls `onGone` once when `deno task`, or the `npx` that started it, has ended, if the process was started by these.
 * Call it at the very start: an end before the call is detected too. For `npx` it needs `/proc`, so outside Linux it
 * does not see the end of `npx`. Returns a function that stops the watch.
 */
export function watchLauncher(env: Readonly<Record<string, string>>, onGone: () => void): () => void {
  // `deno task` and npm set this to the folder of the call. A stack started in another way may be intended to outlive
  // its shell.
  if (env.INIT_CWD === undefined) return () => {};
  const isByNpx = env.npm_command === "exec";
  const look = (): { task: number; launcher: number | undefined } => ({
    task: Deno.ppid,
    launcher: isByNpx ? parentOf(Deno.ppid) : undefined,
  });
  const first = look();
  const timer = setInterval(() => {
    const { task, launcher } = look();
    if (task === first.task && launcher === first.launcher && !isOrphan(first.launcher)) return;
    clearInterval(timer);
    onGone();
  }, LOOK_MS);
  return () => clearInterval(timer);
}

/** Whether the launcher of `deno task` had exited before the first check. */
function isOrphan(launcher: number | undefined): boolean {
  return launcher === INIT && !LAUNCHERS.test(readProc(INIT, "comm"));
}

/** The parent of a process; undefined if it has exited, or cannot be determined. */
function parentOf(pid: number): number | undefined {
  const parent = /^PPid:\s+(\d+)/m.exec(readProc(pid, "status"))?.[1];
  return parent === undefined ? undefined : Number(parent);
}

function readProc(pid: number, file: "status" | "comm"): string {
  try {
    return Deno.readTextFileSync(`/proc/${pid}/${file}`);
  } catch {
    return "";
  }
}
