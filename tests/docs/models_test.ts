/** docs/MODELS.md: what it says about settings, endpoints, errors and the log is compared with the code. */

import assert from "node:assert/strict";
import { environment, parseConfig } from "../../supabase/functions/_shared/config.ts";
import { ERROR_CODES } from "../../supabase/functions/_shared/errors.ts";
import { dialectOf } from "../../supabase/functions/_shared/model_dialect.ts";
import { completionsUrl } from "../../supabase/functions/_shared/openrouter/request.ts";
import { STREAMS } from "../fixtures/streams/streams.ts";
import { filesUnder, read } from "../support/source_files.ts";

const PAGE = read("docs/MODELS.md");
/** Ollama's own settings. */
const NOT_OURS = ["OLLAMA_CONTEXT_LENGTH", "OLLAMA_HOST"];
const PROJECT = { SUPABASE_URL: "https://project.supabase.co", OPENROUTER_API_KEY: "key" };

type Row = Readonly<Record<string, string>>;

/** The rows of the table under a heading, by the names of its columns. Throws if there is none. */
function tableUnder(heading: string): Row[] {
  const start = PAGE.indexOf(`\n${heading}\n`);
  if (start < 0) throw new Error(`Cannot find ${heading}`);
  const section = PAGE.slice(start + heading.length + 2).split(/\n#+ /)[0] ?? "";
  const [head = [], , ...rows] = section.split("\n").filter((line) => line.startsWith("|")).map(cells);
  if (rows.length === 0) throw new Error(`Cannot find a table under ${heading}`);
  return rows.map((row) => Object.fromEntries(head.map((name, index) => [name, row[index] ?? ""])));
}

function cells(line: string): string[] {
  return line.split("|").slice(1, -1).map((cell) => cell.trim());
}

/** What a text has between backticks. */
function code(text = ""): string[] {
  return [...text.matchAll(/`([^`]+)`/g)].map(([, word = ""]) => word);
}

/** The examples of settings, each as an environment. */
function examples(): Record<string, string>[] {
  const blocks = [...PAGE.matchAll(/```sh\n([^]*?)```/g)].map(([, block = ""]) => block);
  return blocks.map((block) =>
    Object.fromEntries([...block.matchAll(/\b([A-Z][A-Z_]+)=(\S*)/g)].map(([, name, value]) => [name, value]))
  ).filter((env) => Object.keys(env).length > 0);
}

function sources(): string {
  const files = filesUnder("supabase/functions", ".ts");
  return files.map(read).join("\n");
}

/** The events that some code writes to the log. */
function logEvents(): Set<string> {
  const written = sources().matchAll(/(?:event: |#write\()"([a-z_]+)"/g);
  return new Set([...written].map(([, event = ""]) => event));
}

Deno.test("every setting that MODELS.md names exists", () => {
  const named = [...PAGE.matchAll(/\b[A-Z]+(?:_[A-Z]+)+\b/g)].map(([name]) => name);
  assert.ok(named.length > 20);
  const known = [...Object.keys(environment), ...NOT_OURS];
  assert.deepEqual(named.filter((name) => !known.includes(name)), []);
});

Deno.test("every example of settings in MODELS.md is valid", () => {
  const all = examples();
  assert.ok(all.length >= 3);
  for (const { OLLAMA_HOST: _, OLLAMA_CONTEXT_LENGTH: __, ...env } of all) {
    assert.deepEqual(Object.keys(env).filter((name) => !Object.hasOwn(environment, name)), []);
    assert.doesNotThrow(() => parseConfig({ ...PROJECT, ...env }), JSON.stringify(env));
  }
});

Deno.test("MODELS.md names the dialect that each endpoint gets", () => {
  const endpoints = tableUnder("## Endpoints");
  assert.equal(endpoints.length, 13);
  for (const row of endpoints) {
    const urls = code(row["`OPENROUTER_BASE_URL`"]);
    assert.ok(urls.length > 0, row.endpoint);
    for (const written of urls) {
      const baseUrl = written.replaceAll(/<[a-z-]+>/g, "mine");
      assert.equal(dialectOf(baseUrl), row["`MODEL_DIALECT`"], written);
      assert.match(completionsUrl({ baseUrl }), /\/chat\/completions(\?|$)/);
    }
  }
});

Deno.test("MODELS.md says for each endpoint whether the corpus has its streams", () => {
  const tried = tableUnder("## What was tried");
  assert.deepEqual(
    tried.map(({ endpoint }) => endpoint),
    tableUnder("## Endpoints").map(({ endpoint }) => endpoint),
  );
  for (const { endpoint = "", streams } of tried) {
    const count = STREAMS.filter(({ name }) => name.startsWith(endpoint)).length;
    assert.equal(streams, count > 0 ? "yes" : "none", endpoint);
  }
});

Deno.test("the errors in MODELS.md exist, in these words, and no error of a model is missing", () => {
  const rows = tableUnder("## What happens when…");
  const codes = new Set(rows.flatMap((row) => code(row["the client gets"])));
  const known: ReadonlySet<string> = new Set(ERROR_CODES);
  const ofModel = ERROR_CODES.filter((name) => name.startsWith("model_"));
  for (const name of [...ofModel, "prompt_too_long", "empty_answer", "interrupted"]) {
    assert.ok(codes.has(name), name);
  }
  const named = [...codes].filter((name) => /^[a-z]+(_[a-z]+)+$/.test(name) && !name.endsWith("_ms"));
  assert.deepEqual(named.filter((name) => !known.has(name)), []);
  const source = sources();
  const quoted = rows.flatMap((row) => [...row["the client gets"]?.matchAll(/“([^”]+)”/g) ?? []]);
  assert.ok(quoted.length >= 10);
  assert.deepEqual(quoted.map(([, words = ""]) => words).filter((words) => !source.includes(words)), []);
});

Deno.test("the log events in MODELS.md exist, and none of the model adapter is missing", () => {
  const events = logEvents();
  const named = tableUnder("## What happens when…").flatMap((row) => code(row["the log"]));
  // Fields of an event are single words, or times.
  const asEvents = named.filter((name) => /^[a-z]+(_[a-z]+)+$/.test(name) && !name.endsWith("_ms"));
  assert.ok(asEvents.length > 5);
  assert.deepEqual(asEvents.filter((name) => !events.has(name)), []);
  const ofAdapter = [...events].filter((name) => /^model_/.test(name) && name !== "model_call_in_vain");
  assert.deepEqual(ofAdapter.filter((name) => !asEvents.includes(name)), []);
});

Deno.test("README.md and DEPLOY.md lead to MODELS.md", () => {
  assert.match(read("README.md"), /\]\(docs\/MODELS\.md\)/);
  assert.match(read("docs/DEPLOY.md"), /\]\(MODELS\.md\)/);
});
