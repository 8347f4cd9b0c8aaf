import assert from "node:assert/strict";
import { uploadedImports } from "../support/deploy_bundle.ts";
import { findCycle, importGraph, importsOf } from "../support/import_graph.ts";
import { ROOMS } from "../support/lint/layers.ts";
import { filesUnder, read, urlOf } from "../support/source_files.ts";

const DEPLOYED = filesUnder("supabase/functions", ".ts");

Deno.test("findCycle finds a way round, and says which", () => {
  const graph = new Map([["a", ["b", "c"]], ["b", ["d"]], ["c", ["b"]], ["d", []]]);
  assert.equal(findCycle(graph), undefined);
  assert.deepEqual(findCycle(new Map([...graph, ["d", ["c"]]])), ["b", "d", "c", "b"]);
  assert.deepEqual(findCycle(new Map([["a", ["a"]]])), ["a", "a"]);
});

Deno.test("CONTRIBUTING.md shows the layers that the linter holds", () => {
  const shown = new Map<string, string>();
  for (
    const [, layer = "", rooms = ""] of read("CONTRIBUTING.md").matchAll(/^\| ([0-4]|side) \| (`.*`) \|/gm)
  ) {
    for (const [, room = ""] of rooms.matchAll(/`([^`/]+)\/?`/g)) shown.set(room, layer);
  }
  assert.deepEqual(shown, new Map([...ROOMS].map(([room, layer]) => [room, String(layer)])));
});

Deno.test("nothing deployed imports itself by way of others, not even types", () => {
  assert.ok(DEPLOYED.length > 100);
  assert.equal(findCycle(importGraph(DEPLOYED, ["static", "type", "dynamic"])), undefined);
});

Deno.test("`supabase functions deploy` finds the same imports as the compiler", () => {
  for (const file of DEPLOYED) {
    const source = read(file);
    const uploaded = uploadedImports(source)
      .filter((specifier) => /^[./]/.test(specifier) && /\.\w+$/.test(specifier));
    const imported = importsOf(source).map(({ specifier }) => specifier).filter((one) => one.startsWith("."));
    assert.deepEqual(new Set(uploaded), new Set(imported), file);
  }
});

Deno.test("agent_websocket loads no package before it needs one", () => {
  const graph = importGraph(DEPLOYED, ["static"]);
  const reached = new Set<string>();
  const walk = (file: string): void => {
    if (reached.has(file)) return;
    reached.add(file);
    for (const target of graph.get(file) ?? []) walk(target);
  };
  walk("supabase/functions/agent_websocket/index.ts");
  assert.ok(reached.size > 50, "nothing was walked");
  const packages = [...reached].flatMap((file) =>
    importsOf(read(file))
      .filter(({ specifier, how }) => how === "static" && !specifier.startsWith("."))
      .map(({ specifier }) => `${specifier} in ${file}`)
  );
  assert.deepEqual(packages, []);
});

/** The functions that a module would have to call to do something on import. */
const TRAPPED: readonly [holder: object, name: string][] = [
  [globalThis, "fetch"],
  [globalThis, "setTimeout"],
  [globalThis, "setInterval"],
  [globalThis, "queueMicrotask"],
  [globalThis, "addEventListener"],
  [globalThis, "WebSocket"],
  [Date, "now"],
  [Math, "random"],
  [performance, "now"],
  [crypto, "randomUUID"],
  [crypto, "getRandomValues"],
  [crypto.subtle, "digest"],
  [crypto.subtle, "importKey"],
  [Deno, "serve"],
  [Deno, "connect"],
  [Deno.env, "get"],
  [Deno.env, "has"],
  [Deno.env, "toObject"],
  [console, "log"],
  [console, "warn"],
  [console, "error"],
];

Deno.test("callsDuring sees calls, and leaves things as they were", async () => {
  const { now } = Date;
  const calls = await callsDuring(() => {
    Date.now();
    return Promise.resolve(crypto.getRandomValues(new Uint8Array(1)));
  });
  assert.deepEqual(calls, ["now", "getRandomValues"]);
  assert.equal(Date.now, now);
  assert.ok(!Object.hasOwn(crypto, "getRandomValues"));
});

Deno.test("importing a module of _shared does nothing", async () => {
  // What the packages do while they load does not count.
  await import("zod");
  await import("eventsource-parser");
  for (const file of DEPLOYED.filter((path) => path.includes("/_shared/"))) {
    assert.deepEqual(await callsDuring(() => import(urlOf(file).href)), [], file);
  }
});

async function callsDuring(act: () => Promise<unknown>): Promise<string[]> {
  const calls: string[] = [];
  const restore = TRAPPED.map(([holder, name]) => trap(holder, name, () => calls.push(name)));
  try {
    await act();
  } finally {
    restore.forEach((one) => one());
  }
  return calls;
}

/** Runs `called` at each call of a method, until the returned function is called. */
function trap(holder: object, name: string, called: () => void): () => void {
  const own = Object.getOwnPropertyDescriptor(holder, name);
  const original: unknown = Reflect.get(holder, name);
  assert.ok(typeof original === "function", name);
  const value = new Proxy(original, {
    apply(target, self, args): unknown {
      called();
      return Reflect.apply(target, self, args);
    },
    construct(target, args): object {
      called();
      return Reflect.construct(target, args);
    },
  });
  Object.defineProperty(holder, name, { configurable: true, writable: true, value });
  return () => {
    if (own === undefined) Reflect.deleteProperty(holder, name);
    else Object.defineProperty(holder, name, own);
  };
}
