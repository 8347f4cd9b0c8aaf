/**
 * The end of what started the stack, where that does not pass a signal on. SIGTERM ends `npx` and its shell, and `deno task` goes
 * on without them; SIGKILL ends `deno task`, and the stack goes on without it.
 */

const LOOK_MS = 250;
/** Takes in the processes whose parent has gone. In a container it may be the launcher itself. */
const INIT = 1;
const LAUNCHERS = /^(npm|node|pnpm|yarn|bun)/;

/**
 * Calls `onGone` once when `deno task` has gone, or what `npx` started it with, if these started the process. Begin at the very
 * start: who has gone before is not missed. Of `npx` it needs `/proc`: elsewhere than on Linux it does not see its end.
 * Answers what ends the watch.
 */
export function watchLauncher(env: Readonly<Record<string, string>>, onGone: () => void): () => void {
  // `deno task` and npm say where they were called. A stack that was started without them may be meant to outlive its shell.
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
