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
    ["docs/TOOLS.md", withExamples("docs/TOOLS.md", TOOLS_EXAMPLES)],
    [
      "README.md",
      withSection(withExamples("README.md", { "first-tool": "short_tool.ts" }), {
        name: "settings",
        text: settingsTable(read(".env.example")),
      }),
    ],
  ]);
}

/** Sections of docs/TOOLS.md, and the files in examples/tools that they show. */
const TOOLS_EXAMPLES = {
  "first-tool": "first_tool.ts",
  "whole-file": "every_option.ts",
  "test-tool": "test_of_a_tool.ts",
};

/** The page with examples as they are in a project: an agent's file is in its function's folder. */
function withExamples(page: string, examples: Readonly<Record<string, string>>): string {
  return Object.entries(examples).reduce((text, [name, file]) => {
    const code = read(`examples/tools/${file}`).trimEnd()
      .replaceAll('"../../supabase/functions/_shared/', '"../_shared/')
      .replaceAll('"./every_option.ts"', '"../supabase/functions/agent_websocket/agent.ts"');
    return withSection(text, { name, text: `\`\`\`ts\n${code}\n\`\`\`` });
  }, read(page));
}

function asText(value: object): string {
  return JSON.stringify(value, null, 2) + "\n";
}

if (import.meta.main) {
  for (const [path, text] of documents()) Deno.writeTextFileSync(urlOf(path), text);
}
