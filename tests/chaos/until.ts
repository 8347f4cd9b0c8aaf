const LOOK_MS = 20;

/** Resolves to true as soon as `check` returns true, or to false after `withinMs` milliseconds. */
export async function until(check: () => boolean, withinMs: number): Promise<boolean> {
  const deadline = performance.now() + withinMs;
  while (!check()) {
    if (performance.now() > deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  return true;
}
