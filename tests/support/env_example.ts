/** Reads `.env.example`. The README's table of settings is generated from it. */

/** A setting in `.env.example`. */
export interface Entry {
  name: string;
  value: string;
  /** Whether it is commented out, because Supabase sets it. */
  isComment: boolean;
  /** The comment line above it. */
  explanation: string;
  /** The heading of its group. */
  heading: string;
}

/** Every setting, in the order of the file. */
export function entriesOf(example: string): Entry[] {
  const entries: Entry[] = [];
  let heading = "";
  let previous = "";
  for (const line of example.split("\n")) {
    heading = /^# --- (.*) ---$/.exec(line)?.[1] ?? heading;
    const [, hash, name, value] = /^(# )?([A-Z][A-Z0-9_]*)=(.*)$/.exec(line) ?? [];
    if (name !== undefined && value !== undefined) {
      entries.push({ name, value, isComment: hash !== undefined, explanation: previous, heading });
    }
    previous = line;
  }
  return entries;
}

/** The README's table: every setting that the operator can set. */
export function settingsTable(example: string): string {
  const settings = entriesOf(example).filter(({ isComment }) => !isComment);
  const rows = settings.map(({ name, value, explanation }) => {
    const byDefault = value === "" ? "" : `\`${value}\``;
    return `| \`${name}\` | ${byDefault} | ${explanation.replace(/^# /, "")} |`;
  });
  return ["| name | default | meaning |", "|---|---|---|", ...rows].join("\n");
}
