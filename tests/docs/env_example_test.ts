import assert from "node:assert/strict";
import { environment } from "../../supabase/functions/_shared/config.ts";
import { entriesOf } from "../support/env_example.ts";
import { read } from "../support/source_files.ts";

const CONFIG = "supabase/functions/_shared/config.ts";
/** Names of the platform's own variables: they are in comments. */
const RESERVED = /^(SUPABASE|SB)_/;

const ENTRIES = entriesOf(read(".env.example"));

/** The names in config.ts, each with the comment at the head of its group. */
function groupsOf(source: string): [name: string, heading: string][] {
  const start = source.indexOf("export const environment");
  const schema = source.slice(start, source.indexOf("\n};", start));
  const groups: [string, string][] = [];
  let heading = "";
  for (const line of schema.split("\n")) {
    heading = /^ {2}\/\/ (.*)$/.exec(line)?.[1] ?? heading;
    const name = /^ {2}([A-Z][A-Z0-9_]*):/.exec(line)?.[1];
    if (name !== undefined) groups.push([name, heading]);
  }
  return groups;
}

Deno.test(".env.example has every name of config.ts, in the same order and groups", () => {
  assert.deepEqual(ENTRIES.map(({ name, heading }) => [name, heading]), groupsOf(read(CONFIG)));
  assert.deepEqual(ENTRIES.map(({ name }) => name), Object.keys(environment));
});

Deno.test(".env.example has every default", () => {
  for (const [name, setting] of Object.entries(environment)) {
    const { value = "" } = ENTRIES.find((entry) => entry.name === name) ?? {};
    const written = value === "" ? setting(undefined) : setting(value);
    assert.deepEqual(written, setting(undefined), name);
    // If the file omitted a default, the reader would have to look it up.
    const hasDefault = !["undefined", ""].includes(String(setting(undefined)));
    assert.equal(value !== "", hasDefault, name);
  }
});

Deno.test(".env.example explains every name in the line before it", () => {
  for (const { name, explanation } of ENTRIES) {
    assert.match(explanation, /^# [A-Z].{10,110}\.?$/, name);
    if (name.endsWith("_MS")) assert.match(explanation, /milliseconds/, name);
    if (name.endsWith("_BYTES")) assert.match(explanation, /[Bb]ytes/, name);
  }
});

Deno.test(".env.example sets nothing that Supabase sets", () => {
  for (const { name, isComment } of ENTRIES) assert.equal(isComment, RESERVED.test(name), name);
});
