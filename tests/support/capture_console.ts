// deno-lint-ignore-file no-console -- it stands in for the console
/** What is written to the console while it is held. */

const METHODS = ["debug", "log", "info", "warn", "error", "trace"] as const;

export interface CapturedConsole extends Disposable {
  readonly lines: readonly { method: (typeof METHODS)[number]; text: string }[];
}

/** Takes the console over until it is disposed of. */
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
