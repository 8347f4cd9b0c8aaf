import assert from "node:assert/strict";
import * as z from "zod";
import { importsOf } from "../support/import_graph.ts";
import { filesUnder, read } from "../support/source_files.ts";

const manifest = z.object({ imports: z.record(z.string(), z.string()) });
const importsIn = (path: string): Record<string, string> => manifest.parse(JSON.parse(read(path))).imports;

const ROOT = importsIn("deno.json");
const FUNCTIONS = filesUnder("supabase/functions", "deno.json");

Deno.test("every dependency is from npm, at one exact version, named as npm names it", () => {
  for (const [name, specifier] of Object.entries(ROOT)) {
    assert.match(specifier, /^npm:(@[\w-]+\/)?[\w.-]+@\d+\.\d+\.\d+(-beta\.\d+)?$/);
    // A second major version of a package has the major in its name.
    const second = /^(.+)-(\d+)$/.exec(name);
    const isSecond = second !== null && ROOT[second[1] ?? ""] !== undefined;
    if (isSecond) assert.match(specifier, new RegExp(`@${second[2]}\\.`));
    assert.equal(
      specifier.slice("npm:".length, specifier.lastIndexOf("@")),
      isSecond ? second[1] : name,
    );
  }
});

Deno.test("a function deploys the versions that are tested", () => {
  assert.ok(FUNCTIONS.length > 0);
  for (const path of FUNCTIONS) {
    for (const [name, specifier] of Object.entries(importsIn(path))) {
      assert.equal(specifier, ROOT[name], path);
    }
  }
});

Deno.test("a function's deno.json has the packages that _shared imports, and no others", () => {
  const used = filesUnder("supabase/functions/_shared", ".ts")
    .flatMap((file) => importsOf(read(file)))
    .filter(({ specifier }) => !specifier.startsWith("."))
    .map(({ specifier }) => specifier.split("/").slice(0, specifier.startsWith("@") ? 2 : 1).join("/"));
  for (const path of FUNCTIONS) {
    assert.deepEqual(Object.keys(importsIn(path)).sort(), [...new Set(used)].sort(), path);
  }
});

Deno.test("every function is in config.toml with verify_jwt = false", () => {
  const config = read("supabase/config.toml");
  for (const path of FUNCTIONS) {
    const name = path.split("/")[2] ?? "";
    assert.match(config, new RegExp(`^\\[functions\\.${name}\\]\\nverify_jwt = false$`, "m"));
  }
});

Deno.test("CI runs what the README's test command runs, with the Deno that the README names", () => {
  const [, version = "", args] =
    /^exec npx -y (deno@\d+\.\d+\.\d+) (.+) <\/dev\/null$/m.exec(read(".ci/run")) ?? [];
  const { tasks }: { tasks: { ok: { command: string } } } = JSON.parse(read("deno.json"));
  assert.equal(`deno ${args}`, tasks.ok.command);
  const readme = read("README.md");
  const command = `npx -y ${version} task ok`;
  assert.ok(readme.includes(command), `README.md does not say: ${command}`);
  const others = [...readme.matchAll(/npx -y (deno@[\d.]+\d)/g)].map(([, one]) => one).filter((one) =>
    one !== version
  );
  assert.deepEqual(others, []);
});
