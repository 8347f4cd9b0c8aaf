import assert from "node:assert/strict";
import { demoFor, isUntouched } from "../../../local/demo.ts";

const IMPORT = 'import { defineAgent } from "../_shared/agent/mod.ts";';

Deno.test("isUntouched: comments and layout do not make an agent of the developer's own", () => {
  assert.ok(isUntouched(`/**\n * Yours.\n */\n\n${IMPORT}\n\nexport default defineAgent({});\n`));
  assert.ok(isUntouched(`${IMPORT}\r\n// soon\r\nexport default   defineAgent({});`));
});

Deno.test("isUntouched: anything else is the developer's, also a file that cannot be read", () => {
  for (
    const source of [
      "",
      `${IMPORT}\nexport default defineAgent({ model: "openai/gpt-5" });`,
      `${IMPORT}\nimport "./mine.ts";\nexport default defineAgent({});`,
    ]
  ) assert.ok(!isUntouched(source), source);
});

Deno.test("demoFor: no tools for a model server of one's own, which may not support them", () => {
  const untouched = `${IMPORT}\nexport default defineAgent({});`;
  assert.match(String(demoFor(untouched, { OPENROUTER_API_KEY: "sk" })?.agent), /examples\/orders/);
  assert.equal(demoFor(untouched, { OPENROUTER_BASE_URL: "http://127.0.0.1:11434/v1" }), undefined);
  assert.equal(demoFor("", {}), undefined);
});
