import assert from "node:assert/strict";
import { ROOMS } from "../../../support/lint/layers.ts";
import plugin from "../../../support/lint_layers.ts";

const FUNCTIONS = "/anywhere/supabase/functions";

function lint(path: string, source: string): string[] {
  return Deno.lint.runPlugin(plugin, `${FUNCTIONS}/${path}`, source)
    .filter(({ id }) => id === "agent/one-way-street")
    .map(({ message }) => message);
}

/** Each import goes down, or stays at the same level. */
const ALLOWED: readonly [path: string, source: string][] = [
  ["_shared/ports/event_log.ts", 'import type { LogEvent } from "../protocol/log_event.ts";'],
  ["_shared/protocol/decode.ts", 'import { ERROR_CODES } from "../errors.ts"; import * as z from "zod";'],
  [
    "_shared/guard/identity.ts",
    'import { AgentError } from "../errors.ts"; import { x } from "./bucket.ts";',
  ],
  [
    "_shared/session/core/turn.ts",
    'import type { Clock } from "../../ports/runtime.ts"; import { x } from "../../guard/limits.ts";',
  ],
  ["_shared/session/session.ts", 'export { x } from "../guard/limits.ts"; export * from "./send_buffer.ts";'],
  ["_shared/http/upgrade.ts", 'import { Session } from "../session/session.ts";'],
  ["_shared/openrouter/client.ts", 'import { createParser } from "eventsource-parser";'],
  ["_shared/openrouter/client.ts", 'import { X } from "eventsource-parser/stream";'],
  ["_shared/platform/auth.ts", 'import type { SupabaseClient } from "@supabase/supabase-js";'],
  ["_shared/platform/auth.ts", 'const { createClient } = await import("@supabase/supabase-js");'],
  ["_shared/platform/auth.ts", 'let client: import("@supabase/supabase-js").SupabaseClient;'],
  ["agent_websocket/index.ts", 'import { x } from "../_shared/platform/auth.ts"; import "./own.ts";'],
  ["agent_websocket/index.ts", 'await import("../_shared/http/upgrade.ts");'],
];

for (const [path, source] of ALLOWED) {
  Deno.test(`one-way-street lets ${path} have: ${source}`, () => {
    assert.deepEqual(lint(path, source), []);
  });
}

const REFUSED: readonly [path: string, source: string, message: RegExp][] = [
  [
    "_shared/ports/model.ts",
    'import { x } from "../guard/limits.ts";',
    /^Cannot import "..\/guard\/limits.ts": ports\/ may/,
  ],
  ["_shared/guard/a.ts", 'import { x } from "../activity/hub.ts";', /guard\/ may import layers below/],
  ["_shared/guard/a.ts", 'import { x } from "../session/b.ts";', /session\/ is layer 2/],
  ["_shared/guard/a.ts", 'import type { X } from "../session/b.ts";', /session\/ is layer 2/],
  ["_shared/guard/a.ts", 'export { x } from "../session/b.ts";', /session\/ is layer 2/],
  ["_shared/guard/a.ts", 'export * from "../session/b.ts";', /session\/ is layer 2/],
  ["_shared/guard/a.ts", 'await import("../session/b.ts");', /session\/ is layer 2/],
  ["_shared/guard/a.ts", 'let x: import("../session/b.ts").X;', /session\/ is layer 2/],
  ["_shared/guard/a.ts", 'import "../session/b.ts";', /session\/ is layer 2/],
  ["_shared/guard/a.ts", "await import(`../guard/${name}.ts`);", /computed/],
  ["_shared/session/a.ts", 'import { x } from "../notify/b.ts";', /not its neighbours/],
  ["_shared/session/a.ts", 'import { x } from "../openrouter/b.ts";', /a side room/],
  ["_shared/http/a.ts", 'import { x } from "../platform/b.ts";', /a side room/],
  ["_shared/platform/a.ts", 'import { x } from "../openrouter/b.ts";', /layer 0 only/],
  ["_shared/platform/a.ts", 'import { x } from "../guard/b.ts";', /layer 0 only/],
  ["_shared/guard/a.ts", 'import { x } from "../../../../local/main.ts";', /outside supabase\/functions/],
  [
    "agent_websocket/index.ts",
    'import { x } from "../../../tests/support/x.ts";',
    /outside supabase\/functions/,
  ],
  ["agent_websocket/index.ts", 'import { x } from "../notify_websocket/x.ts";', /nobody else's/],
  ["_shared/guard/a.ts", 'import { x } from "../../agent_websocket/index.ts";', /nobody else's/],
  ["_shared/guard/a.ts", 'import { x } from "../brain/b.ts";', /"brain": it is no room of _shared/],
  ["_shared/brain/a.ts", "", /give the new one a layer in tests\/support\/lint\/layers.ts/],
  ["_shared/helpers.ts", "", /"helpers.ts": it is no room of _shared/],
  ["_shared/guard/a.ts", 'import * as x from "npm:zod";', /Cannot deploy "npm:zod"/],
  ["_shared/guard/a.ts", 'import x from "node:fs";', /Cannot deploy "node:fs"/],
  ["_shared/guard/a.ts", 'import x from "jsr:@std/async";', /Cannot deploy "jsr:/],
  ["_shared/guard/a.ts", 'import x from "https://deno.land/x.ts";', /Cannot deploy "https:/],
  ["_shared/guard/a.ts", 'import x from "/etc/x.ts";', /Cannot deploy "\/etc/],
  ["_shared/guard/a.ts", 'import x from "lodash/fp";', /Cannot deploy "lodash": only zod, /],
  ["_shared/guard/a.ts", 'import x from "eventsource-parser";', /only openrouter\/ may/],
  ["_shared/http/a.ts", 'import type { X } from "@supabase/supabase-js";', /only agent\/, platform\/ may/],
  ["agent_websocket/index.ts", 'await import("@supabase/supabase-js");', /only agent\/, platform\/ may/],
  ["_shared/platform/a.ts", 'import { x } from "@supabase/supabase-js";', /statically/],
  ["_shared/platform/a.ts", 'import { type X } from "@supabase/supabase-js";', /statically/],
  ["_shared/platform/a.ts", 'export * from "@supabase/supabase-js";', /statically/],
  ["_shared/session/a.ts", 'import { x } from "../agent/b.ts";', /a side room/],
  ["_shared/agent/a.ts", 'import { x } from "@modelcontextprotocol/sdk/client";', /statically/],
  ["_shared/platform/a.ts", 'await import("@modelcontextprotocol/sdk/client");', /only agent\/ may/],
];

for (const [path, source, message] of REFUSED) {
  Deno.test(`one-way-street refuses ${path}: ${source}`, () => {
    const found = lint(path, source);
    assert.equal(found.length, 1, found.join("\n"));
    assert.match(found[0] ?? "", message);
  });
}

Deno.test("one-way-street leaves what is not deployed alone", () => {
  const source = 'import x from "npm:anything"; import y from "node:fs"; import z from "../supabase/x.ts";';
  assert.deepEqual(Deno.lint.runPlugin(plugin, "/anywhere/tests/a_test.ts", source), []);
});

Deno.test("one-way-street reads a Windows path", () => {
  const found = Deno.lint.runPlugin(
    plugin,
    "C:\\work\\supabase\\functions\\_shared\\guard\\a.ts",
    'import { x } from "../session/b.ts"; import { y } from "../guard/b.ts";',
  );
  assert.equal(found.length, 1);
});

Deno.test("one-way-street: from each room, exactly the rooms below it", () => {
  const reach = Object.fromEntries(
    [...ROOMS.keys()].map((from) => {
      const path = from.endsWith(".ts") ? `_shared/${from}` : `_shared/${from}/a.ts`;
      const up = from.endsWith(".ts") ? "./" : "../";
      const targets = [...ROOMS.keys()].filter((to) => {
        const target = to.endsWith(".ts") ? to : `${to}/b.ts`;
        return from !== to && lint(path, `import "${up}${target}";`).length === 0;
      });
      return [from, targets.sort().join(" ")];
    }),
  );
  const zero = [
    "config.ts",
    "errors.ts",
    "metrics.ts",
    "model_dialect.ts",
    "on_demand.ts",
    "ports",
    "protocol",
    "secrets.ts",
    "setting.ts",
    "settled_within.ts",
    "store_choice.ts",
    "think_tags.ts",
    "token_claims.ts",
    "trusted_issuers.ts",
    "version.ts",
  ];
  const without = (name: string): string => zero.filter((other) => other !== name).join(" ");
  const sorted = (...more: string[]): string => [...zero, ...more].sort().join(" ");
  assert.deepEqual(reach, {
    ...Object.fromEntries(zero.map((name) => [name, without(name)])),
    activity: sorted(),
    guard: sorted(),
    usage: sorted(),
    session: sorted("activity", "guard", "usage"),
    notify: sorted("activity", "guard", "usage"),
    http: sorted("activity", "guard", "usage", "session", "notify"),
    ai_sdk: sorted("activity", "guard", "usage", "session", "notify"),
    agent: sorted(),
    openrouter: sorted(),
    platform: sorted(),
  });
});
