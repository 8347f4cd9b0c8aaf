/** The kept transcripts, by name. */

const FOLDER = new URL("./transcripts/", import.meta.url);

export interface Transcript {
  name: string;
  url: URL;
  text: string;
}

export function transcripts(): Transcript[] {
  const names = Array.from(Deno.readDirSync(FOLDER), ({ name }) => name).filter((name) =>
    name.endsWith(".txt")
  );
  return names.sort().map((name) => {
    const url = new URL(name, FOLDER);
    return { name: name.slice(0, -".txt".length), url, text: Deno.readTextFileSync(url) };
  });
}
