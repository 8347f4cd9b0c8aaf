/** The import graph of the deployed code. It uses the linter's parser, so it runs only within `deno test`. */

import { type ImportKind, visitImports } from "./lint/imports.ts";
import { read, urlOf } from "./source_files.ts";

export interface FileImport {
  specifier: string;
  how: ImportKind;
}

/** The imports of a source text, in order. */
export function importsOf(source: string): FileImport[] {
  const imports: FileImport[] = [];
  const rule: Deno.lint.Rule = {
    create: () =>
      visitImports(({ specifier, how }) => {
        if (specifier !== undefined) imports.push({ specifier, how });
      }),
  };
  Deno.lint.runPlugin({ name: "graph", rules: { imports: rule } }, "file.ts", source);
  return imports;
}

/** Each file with the files that it imports, for the kinds of import in `how`. Paths are relative to the project's root. */
export function importGraph(files: readonly string[], how: readonly ImportKind[]): Map<string, string[]> {
  return new Map(files.map((file) => {
    const targets = importsOf(read(file))
      .filter((one) => one.specifier.startsWith(".") && how.includes(one.how))
      .map(({ specifier }) => new URL(specifier, urlOf(file)).href.slice(urlOf("").href.length));
    return [file, targets];
  }));
}

/** The first import cycle found; undefined if there is none. */
export function findCycle(graph: ReadonlyMap<string, readonly string[]>): readonly string[] | undefined {
  const done = new Set<string>();
  function walk(file: string, path: readonly string[]): readonly string[] | undefined {
    const start = path.indexOf(file);
    if (start >= 0) return [...path.slice(start), file];
    if (done.has(file)) return undefined;
    for (const target of graph.get(file) ?? []) {
      const cycle = walk(target, [...path, file]);
      if (cycle !== undefined) return cycle;
    }
    done.add(file);
    return undefined;
  }
  for (const file of graph.keys()) {
    const cycle = walk(file, []);
    if (cycle !== undefined) return cycle;
  }
  return undefined;
}
