/** Reads `.env.example`, which is also where the README's table of settings comes from. */

/** A setting as `.env.example` shows it. */
export interface Entry {
  name: string;
  value: string;
  /** Whether it stands in a comment: Supabase sets it. */
  isComment: boolean;
  /** The line before it. */
  explanation: string;
  /** Of its group. */
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

/** The README's table: every setting that is the operator's to make. */
export function settingsTable(example: string): string {
  const settings = entriesOf(example).filter(({ isComment }) => !isComment);
  const rows = settings.map(({ name, value, explanation }) => {
    const byDefault = value === "" ? "" : `\`${value}\``;
    return `| \`${name}\` | ${byDefault} | ${explanation.replace(/^# /, "")} |`;
  });
  return ["| name | default | meaning |", "|---|---|---|", ...rows].join("\n");
}
