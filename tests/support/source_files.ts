/** The project's own files, for tests that read them. Paths are relative to its root, with `/` as the separator. */

const ROOT = new URL("../../", import.meta.url);

/** The URL of a file of the project. */
export function urlOf(path: string): URL {
  return new URL(path, ROOT);
}

/** A file's text. Needs read permission. */
export function read(path: string): string {
  return Deno.readTextFileSync(urlOf(path));
}

/** The names of the folders in a folder, sorted. */
export function foldersIn(folder: string): string[] {
  return Array.from(Deno.readDirSync(urlOf(folder))).filter(({ isDirectory }) => isDirectory)
    .map(({ name }) => name).sort();
}

/** Every file under `folder` whose name ends with `suffix`, sorted. Throws if the folder does not exist. */
export function filesUnder(folder: string, suffix: string): string[] {
  const found: string[] = [];
  for (const { name, isDirectory } of Deno.readDirSync(urlOf(folder))) {
    const path = `${folder}/${name}`;
    if (isDirectory) found.push(...filesUnder(path, suffix));
    else if (name.endsWith(suffix)) found.push(path);
  }
  return found.sort();
}
