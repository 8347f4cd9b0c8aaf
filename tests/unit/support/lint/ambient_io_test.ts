import assert from "node:assert/strict";
import plugin from "../../../support/lint_layers.ts";

function lint(path: string, source: string): string[] {
  return Deno.lint.runPlugin(plugin, `/anywhere/supabase/functions/${path}`, source)
    .filter(({ id }) => id === "agent/no-ambient-io")
    .map(({ message }) => /"(.*)"/.exec(message)?.[1] ?? message);
}

const REFUSED: readonly [source: string, ...names: string[]][] = [
  ["const key = Deno.env.get('KEY');", "Deno"],
  ["const { env } = Deno;", "Deno"],
  ["globalThis.fetch('x');", "globalThis"],
  ["self.crypto.randomUUID();", "self"],
  ["const now = Date.now();", "Date"],
  ["const now = new Date();", "Date"],
  ["const now = Date();", "Date"],
  ["const now = Date['now']();", "Date"],
  ["const { now } = Date;", "Date"],
  ["call(Date);", "Date"],
  ["const now = performance.now();", "performance"],
  ["const dice = Math.random();", "Math"],
  ["const { random } = Math;", "Math"],
  ["const id = crypto.randomUUID();", "crypto"],
  ["crypto.getRandomValues(bytes);", "crypto"],
  ["const { subtle } = crypto;", "crypto"],
  ["await fetch('x');", "fetch"],
  ["const options = { fetch };", "fetch"],
  ["const options = { send: fetch };", "fetch"],
  ["export { fetch };", "fetch"],
  ["export default fetch;", "fetch"],
  ["fetch = replacement;", "fetch"],
  ["function f(send = fetch) {}", "fetch"],
  ["const f = fetch as unknown;", "fetch"],
  ["const f = fetch satisfies unknown;", "fetch"],
  ["setTimeout(f, 1); setInterval(f, 1);", "setTimeout", "setInterval"],
  ["clearTimeout(t);", "clearTimeout"],
  ["AbortSignal.timeout(5);", "AbortSignal"],
  ["console.error('x');", "console"],
  ["process.exit();", "process"],
  ["new WebSocket('ws://x');", "WebSocket"],
  ["EdgeRuntime.waitUntil(p);", "EdgeRuntime"],
  ["addEventListener('beforeunload', f);", "addEventListener"],
  ["navigator.userAgent;", "navigator"],
  ["localStorage.getItem('x');", "localStorage"],
  ["{ const fetch = 1; } fetch('x');", "fetch"],
  ["function f(fetch) {} fetch('x');", "fetch"],
  ["class A { fetch() { return fetch('x'); } }", "fetch"],
  ["const timeout = { [Date.now()]: 1 };", "Date"],
  ["const text = `${Date.now()}`;", "Date"],
];

for (const [source, ...names] of REFUSED) {
  Deno.test(`no-ambient-io refuses: ${source}`, () => {
    assert.deepEqual(lint("_shared/session/a.ts", source), names);
  });
}

const ALLOWED: readonly string[] = [
  "const at = new Date(clock.now()).toISOString();",
  "const at = Date.parse(text) + Date.UTC(2026, 1);",
  "if (x instanceof Date) {}",
  "const x: Date = y; function f(): Date { return y; }",
  "const x = Math.max(1, Math.floor(2.5));",
  "await crypto.subtle.digest('SHA-256', bytes);",
  "const open = socket.readyState === WebSocket.OPEN;",
  "const both = AbortSignal.any([a, AbortSignal.abort()]);",
  "function f(send: typeof fetch): void { send('x'); }",
  "function f(fetch: typeof globalThis.fetch): void { fetch('x'); }",
  "const f = (fetch: Fetch) => () => fetch('x');",
  "function f({ fetch }: Options): void { fetch('x'); }",
  "function f({ send: fetch = other, ...rest }: Options): void { fetch('x'); }",
  "class A { constructor(private readonly fetch: Fetch) { fetch('x'); } }",
  "class A { fetch = 1; static Deno = 2; get console() { return 3; } }",
  "const { fetch } = options; fetch('x');",
  "for (const self of all) { self.close(); }",
  "try {} catch (process) { log(process); }",
  "import { fetch } from './x.ts'; fetch('x');",
  "import type { Deno as D } from './x.ts'; export { process } from './y.ts';",
  "options.fetch('x'); options?.console.log(); this.Deno;",
  "const x = { fetch: send, Date: 1 };",
  "let info: Deno.ServeHandlerInfo; type T = typeof Deno.upgradeWebSocket;",
  "interface I { fetch(url: string): void; Date: number }",
  "type T = { [K in keyof Deno]: WebSocket };",
  "enum E { process, console }",
  "console: for (;;) { break console; }",
  "const map = new Map<string, WebSocket>();",
];

for (const source of ALLOWED) {
  Deno.test(`no-ambient-io allows: ${source}`, () => {
    assert.deepEqual(lint("_shared/session/a.ts", source), []);
  });
}

Deno.test("no-ambient-io: platform/ and index.ts implement the ports, http/ does not", () => {
  const source = "Deno.serve(() => fetch('x'));";
  assert.deepEqual(lint("_shared/platform/clock.ts", source), []);
  assert.deepEqual(lint("agent_websocket/index.ts", source), []);
  assert.deepEqual(lint("_shared/http/upgrade.ts", source), ["Deno", "fetch"]);
  assert.deepEqual(lint("_shared/ports/model.ts", source), ["Deno", "fetch"]);
});
