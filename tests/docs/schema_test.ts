import assert from "node:assert/strict";
import { read } from "../support/source_files.ts";
import { CONNECT_QUERY } from "../support/wire_documents.ts";
import { documents } from "../support/write_schema.ts";

for (const [path, text] of documents()) {
  Deno.test(`${path} is current (deno task schema writes it)`, () => {
    assert.equal(read(path), text);
  });
}

Deno.test("asyncapi.json has the parameters that parseConnectRequest reads, and PROTOCOL.md too", () => {
  const source = read("supabase/functions/_shared/protocol/connect_request.ts");
  const names = new Set([...source.matchAll(/query\.get\("(\w+)"\)/g)].map(([, name = ""]) => name));
  assert.deepEqual(new Set(Object.keys(CONNECT_QUERY.properties)), names);
  const page = read("docs/PROTOCOL.md");
  for (const name of names) assert.ok(page.includes(`| \`${name}\` |`), name);
});
