// deno-lint-ignore-file no-console -- a command-line tool
import { play } from "./transcript.ts";
const dir = new URL("./transcripts/", import.meta.url);
for (const entry of [...Deno.readDirSync(dir)].sort((a, b) => a.name < b.name ? -1 : 1)) {
  if (Deno.args.length > 0 && !entry.name.includes(Deno.args[0]!)) continue;
  const url = new URL(entry.name, dir);
  try {
    Deno.writeTextFileSync(url, play(Deno.readTextFileSync(url)));
  } catch (e) {
    console.log(entry.name, String(e));
  }
}
