/** The files in the project's root, and the documents' links to files: each must exist. */

import assert from "node:assert/strict";
import { dirname } from "node:path/posix";
import { parseRules } from "../support/protocol_rules.ts";
import { filesUnder, read, urlOf } from "../support/source_files.ts";

/** Everything that is kept in the root. A new entry gets a line here, and in CONTRIBUTING.md if it is a folder. */
const KNOWN = [
  ".ci",
  ".env.example",
  ".gitignore",
  "CHANGELOG.md",
  "CONTRIBUTING.md",
  "LICENSE",
  "README.md",
  "bench",
  "client",
  "deno.json",
  "deno.lock",
  "deploy",
  "docs",
  "examples",
  "local",
  "playground",
  "supabase",
  "tests",
];

/** What `.gitignore` excludes from the root, as patterns of names. */
function ignored(): RegExp[] {
  const patterns = read(".gitignore").split("\n").filter((line) => /^[^#!/][^/]*\/?$/.test(line));
  return patterns.map((line) =>
    new RegExp(`^${line.replace(/\/$/, "").replaceAll(".", "\\.").replaceAll("*", ".*")}$`)
  );
}

Deno.test("the root has nothing but what is known: no notes, no leftovers", () => {
  const patterns = ignored();
  const found = Array.from(Deno.readDirSync(urlOf("")))
    // `.git` is a file in a work tree, and other hidden folders belong to editors.
    .filter(({ name, isDirectory }) => name !== ".git" && !(isDirectory && /^\.(?!ci$)/.test(name)))
    .map(({ name }) => name)
    .filter((name) => KNOWN.includes(name) || !patterns.some((pattern) => pattern.test(name)));
  assert.deepEqual(found.sort(), KNOWN);
});

Deno.test("no deployed file has more than 300 lines: it would have two topics", () => {
  const long = filesUnder("supabase/functions", ".ts")
    .map((file) => ({ file, lines: read(file).trimEnd().split("\n").length }))
    .filter(({ lines }) => lines > 300);
  assert.deepEqual(long, []);
});

Deno.test("every link of a document to a file of the project leads somewhere", () => {
  const documents = [
    ...["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "examples/react/README.md"],
    ...["docs", "local", "tests", "bench", "client"].flatMap((folder) => filesUnder(folder, ".md")),
  ];
  const linked = documents.flatMap((file) =>
    [...read(file).matchAll(/\]\((?!https?:|#)([^)#\s]+)/g)].map(([, target = ""]) => ({ file, target }))
  );
  assert.ok(linked.length > 20);
  const broken = linked.filter(({ file, target }) => {
    try {
      Deno.statSync(urlOf(`${dirname(file)}/${target}`));
      return false;
    } catch {
      return true;
    }
  });
  assert.deepEqual(broken, []);
});

Deno.test("every rule that SECURITY.md names is in PROTOCOL.md", () => {
  const rules = new Set(parseRules(read("docs/PROTOCOL.md")));
  const named = [...read("docs/SECURITY.md").matchAll(/\b[A-Z]{2}\d+\b/g)].map(([id]) => id);
  assert.ok(named.length > 5);
  assert.deepEqual(named.filter((id) => !rules.has(id)), []);
});

Deno.test("every picture is shown by a document", () => {
  const documents = ["README.md", ...filesUnder("docs", ".md")].map(read).join("\n");
  const pictures = filesUnder("docs/images", "").map((path) => path.slice("docs/".length));
  assert.deepEqual(pictures.filter((path) => !documents.includes(path)), []);
});

Deno.test("the React example is short enough to be read", () => {
  const lines = [".ts", ".tsx"].flatMap((suffix) => filesUnder("examples/react/src", suffix))
    .flatMap((file) => read(file).trimEnd().split("\n"));
  assert.ok(lines.length > 100 && lines.length <= 200, `${lines.length} lines`);
});
