/** What `supabase functions deploy` uploads for a function: its `deno.json`, its entry, and every file they import. */

import { filesUnder, read, urlOf } from "./source_files.ts";

/**
 * The regular expression with which the CLI looks for imports. It is not a parser, so it also matches comments and
 * strings.
 * Source: `importPathPattern` of the Supabase CLI.
 */
const IMPORT_PATH =
  /(?:import|export)\s+(?:type\s+)?(?:{[^{}]+}|.*?)\s*(?:from)?\s*['"](.*?)['"]|import\(\s*['"](.*?)['"]\)/gi;

/** What the CLI takes for imports in a source text, as written there. */
export function uploadedImports(source: string): string[] {
  return [...source.matchAll(IMPORT_PATH)].map(([, from, dynamic]) => from || dynamic || "");
}

/** The files of a bundle, relative to the project's root, sorted. Paths of missing files are left out, as the CLI does. */
export function bundledFiles(functionName: string): string[] {
  const folder = `supabase/functions/${functionName}`;
  const existing = new Set(filesUnder("supabase/functions", ""));
  const found = new Set([`${folder}/deno.json`]);
  const walk = (file: string): void => {
    if (found.has(file) || !existing.has(file)) return;
    found.add(file);
    for (const specifier of uploadedImports(read(file))) {
      if (/^\.{0,2}\//.test(specifier)) {
        walk(new URL(specifier, urlOf(file)).href.slice(urlOf("").href.length));
      }
    }
  };
  walk(`${folder}/index.ts`);
  return [...found].sort();
}

/** Copies files of the project to the same paths under `folder`, which must be empty. */
export async function copyFiles(files: readonly string[], folder: URL): Promise<void> {
  for (const file of files) {
    const target = new URL(file, folder);
    await Deno.mkdir(new URL("./", target), { recursive: true });
    await Deno.copyFile(urlOf(file), target);
  }
}
