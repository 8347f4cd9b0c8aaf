import assert from "node:assert/strict";
import { read } from "../support/source_files.ts";
import { ACTIVITY_EVENT_TYPES } from "../../supabase/functions/_shared/protocol/activity_types.ts";
import { asyncApi, CONNECT_QUERY, jsonSchema } from "../support/wire_documents.ts";
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

/** Every `$ref` in a value, at any depth. */
function refs(value: unknown): string[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, part]) =>
    key === "$ref" && typeof part === "string" ? [part] : refs(part)
  );
}

/** The target of a `$ref` in a document. */
function at(document: object, ref: string): unknown {
  return ref.split("/").slice(1).reduce<unknown>(
    (part, key) => typeof part === "object" && part !== null ? Reflect.get(part, key) : undefined,
    document,
  );
}

for (const [name, document] of Object.entries({ "schema.json": jsonSchema(), "asyncapi.json": asyncApi() })) {
  Deno.test(`${name} points at nothing that is not there`, () => {
    const dangling = refs(document).filter((ref) => at(document, ref) === undefined);
    assert.deepEqual(dangling, []);
  });

  Deno.test(`${name} has every activity event and every action of a watcher`, () => {
    const definitions = at(document, name === "schema.json" ? "#/$defs" : "#/components/schemas");
    assert.ok(typeof definitions === "object" && definitions !== null);
    const constants = Object.entries(definitions).flatMap(([key, definition]) =>
      key.startsWith("Activity")
        ? ["type", "action"].map((field) => at(definition, `#/properties/${field}/const`))
        : []
    );
    const expected = [...ACTIVITY_EVENT_TYPES, "batch", "subscribed", "subscribe", "unsubscribe", "ping"];
    assert.deepEqual(constants.filter((one) => one !== undefined).sort(), expected.sort());
  });
}

Deno.test("asyncapi.json has both sockets, and what goes each way", () => {
  const { channels, operations } = asyncApi();
  assert.deepEqual(
    Object.values(channels as Record<string, { address: string }>).map(({ address }) => address),
    ["/agent_websocket", "/agent_websocket/api/v1/activity/live"],
  );
  const ways = Object.values(operations as Record<string, { action: string; channel: { $ref: string } }>);
  assert.deepEqual(ways.map(({ action, channel }) => `${action} ${channel.$ref}`), [
    "receive #/channels/agent",
    "send #/channels/agent",
    "receive #/channels/activity",
    "send #/channels/activity",
  ]);
});
