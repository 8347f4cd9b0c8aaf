/** What `supabase functions deploy` uploads for a function: its `deno.json`, its entry, and every file they import. */

import { pathToFileURL } from "node:url";
import { urlOf } from "./source_files.ts";

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

/** The files of the function that are uploaded, relative to the project's root, sorted. */
export function bundledFiles(functionName: string): string[] {
  const folder = `supabase/functions/${functionName}`;
  return [`${folder}/deno.json`, ...uploadedWith(`${folder}/index.ts`)].sort();
}

/** A file and all that it imports, relative to `root`, which is the project's by default. Missing files are left out, as the CLI does. */
export function uploadedWith(entry: string, root: URL = urlOf("")): string[] {
  const found = new Set<string>();
  const walk = (file: string): void => {
    if (found.has(file)) return;
    const source = readIfThere(new URL(file, root));
    if (source === undefined) return;
    found.add(file);
    for (const specifier of uploadedImports(source)) {
      if (/^\.{0,2}\//.test(specifier)) {
        walk(new URL(specifier, new URL(file, root)).href.slice(root.href.length));
      }
    }
  };
  walk(entry);
  return [...found];
}

function readIfThere(file: URL): string | undefined {
  try {
    return Deno.readTextFileSync(file);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.IsADirectory) return undefined;
    throw error;
  }
}

/** Runs `deno task bundle` into a new folder, and returns the folder. */
export async function buildBundle(): Promise<URL> {
  const folder = await Deno.makeTempDir();
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["task", "bundle", folder],
    cwd: urlOf(""),
    stdin: "null",
  }).output();
  if (!success) throw new Error([stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)).join("\n"));
  return pathToFileURL(`${folder}/`);
}

/** Copies files of the project to the same paths under `folder`, which must be empty. */
export async function copyFiles(files: readonly string[], folder: URL): Promise<void> {
  for (const file of files) {
    const target = new URL(file, folder);
    await Deno.mkdir(new URL("./", target), { recursive: true });
    await Deno.copyFile(urlOf(file), target);
  }
}
