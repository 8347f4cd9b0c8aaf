/**
 * Word of the end of `npx`, which does not pass a SIGTERM on: it and the shell it started die, and `deno task` would go
 * on without anyone who could end it.
 */

const LOOK_MS = 500;

/**
 * Calls `onGone` once when the process that started our parent has gone, if that was npx. Needs `/proc`: elsewhere than
 * on Linux it does nothing. Answers what ends the watch.
 */
export function watchLauncher(env: Readonly<Record<string, string>>, onGone: () => void): () => void {
  const launcher = env.npm_command === "exec" ? parentOf(Deno.ppid) : undefined;
  if (launcher === undefined) return () => {};
  const timer = setInterval(() => {
    if (parentOf(Deno.ppid) === launcher) return;
    clearInterval(timer);
    onGone();
  }, LOOK_MS);
  return () => clearInterval(timer);
}

/** The parent of a process; undefined where it has gone, or cannot be told. */
function parentOf(pid: number): number | undefined {
  try {
    const status = Deno.readTextFileSync(`/proc/${pid}/status`);
    return Number(/^PPid:\s+(\d+)/m.exec(status)?.[1]);
  } catch {
    return undefined;
  }
}
