// deno-lint-ignore-file no-console -- it stands in for the console
/** Captures what is written to the console. */

const METHODS = ["debug", "log", "info", "warn", "error", "trace"] as const;

export interface CapturedConsole extends Disposable {
  readonly lines: readonly { method: (typeof METHODS)[number]; text: string }[];
}

/** Replaces the console's methods until the result is disposed. */
export function captureConsole(): CapturedConsole {
  const lines: { method: (typeof METHODS)[number]; text: string }[] = [];
  const originals = METHODS.map((method) => [method, console[method]] as const);
  for (const method of METHODS) {
    console[method] = (...words): void => void lines.push({ method, text: words.join(" ") });
  }
  return {
    lines,
    [Symbol.dispose](): void {
      for (const [method, original] of originals) console[method] = original;
    },
  };
}
