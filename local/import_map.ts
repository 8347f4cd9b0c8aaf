/** The import map of a function with another file in the place of its `agent.ts`, as a URL. */
export function importMapWith(agentFile: URL, directory: URL): string {
  const { imports }: { imports: Record<string, string> } = JSON.parse(
    Deno.readTextFileSync(new URL("deno.json", directory)),
  );
  // In a deno.json, the name of a package stands for its subpaths too; in an import map it does not.
  const subpaths = Object.entries(imports).map((
    [name, to],
  ) => [`${name}/`, `${to.replace(/^npm:/, "npm:/")}/`]);
  const own = [new URL("agent.ts", directory).href, agentFile.href];
  const map = { imports: { ...imports, ...Object.fromEntries([...subpaths, own]) } };
  return `data:application/json,${encodeURIComponent(JSON.stringify(map))}`;
}
