/**
 * `deno task schema`: writes the generated parts of docs/, from the schemas and the tests. `tests/docs` fails when they
 * are out of date.
 */

import { projectTests, testsByRule, withTable } from "./protocol_rules.ts";
import { settingsTable } from "./env_example.ts";
import { withSection } from "./section.ts";
import { read, urlOf } from "./source_files.ts";
import { asyncApi, jsonSchema } from "./wire_documents.ts";

/** Each generated document and its current text. */
export function documents(): Map<string, string> {
  return new Map([
    ["docs/schema.json", asText(jsonSchema())],
    ["docs/asyncapi.json", asText(asyncApi())],
    ["docs/PROTOCOL.md", withTable(read("docs/PROTOCOL.md"), testsByRule(projectTests()))],
    [
      "README.md",
      withSection(read("README.md"), { name: "settings", text: settingsTable(read(".env.example")) }),
    ],
  ]);
}

function asText(value: object): string {
  return JSON.stringify(value, null, 2) + "\n";
}

if (import.meta.main) {
  for (const [path, text] of documents()) Deno.writeTextFileSync(urlOf(path), text);
}
