/** What the local stack serves of the page, and to which origins. */

import assert from "node:assert/strict";
import { type TestStack, withLocalStack } from "../support/local_stack.ts";
import { WireClient } from "../support/wire_client.ts";

const LIVE = "/functions/v1/agent_websocket/api/v1/activity/live";

async function get(stack: TestStack, path: string, init: RequestInit = {}): Promise<[Response, string]> {
  const response = await fetch(`${stack.url}${path}`, init);
  return [response, await response.text()];
}

Deno.test("local playground: the page and its parts come from the stack alone, under a policy without inline code", async () => {
  await withLocalStack({}, async (stack) => {
    const [page, html] = await get(stack, "/");
    assert.equal(page.headers.get("content-type"), "text/html; charset=utf-8");
    const policy = page.headers.get("content-security-policy") ?? "";
    for (
      const part of ["default-src 'self'", "connect-src 'self' ws:", "require-trusted-types-for 'script'"]
    ) {
      assert.ok(policy.includes(part), policy);
    }
    assert.doesNotMatch(
      html,
      /https?:\/\/|<style|style=|\son\w+=|<script(?! type="module" src="\/playground\/)/,
    );
    const parts = [...html.matchAll(/(?:href|src)="(\/playground\/[^"]+)"/g)].map(([, path = ""]) => path);
    assert.equal(parts.length, 6);
    for (const path of parts) {
      const [part, text] = await get(stack, path);
      assert.equal(part.status, 200, path);
      assert.ok(text.length > 0, path);
      assert.equal(part.headers.get("x-content-type-options"), "nosniff");
    }
    const [missing] = await get(stack, "/playground/../local/keys.ts");
    assert.equal(missing.status, 404);
    const [source] = await get(stack, "/playground/main.ts");
    assert.equal(source.status, 404);
  });
});

Deno.test("local playground: a secret key that is not everybody's is not told", async () => {
  const env = { SUPABASE_SECRET_KEY: "sb_secret_of_my_own" };
  await withLocalStack({ env }, async (stack) => {
    const [, info] = await get(stack, "/playground/stack.json");
    assert.ok(!info.includes("sb_secret"), info);
    assert.equal(JSON.parse(info).publishableKey, stack.keys.publishableKey);
  });
  await withLocalStack({}, async (stack) => {
    const [, info] = await get(stack, "/playground/stack.json");
    assert.equal(JSON.parse(info).secretKey, stack.keys.secretKey);
  });
});

Deno.test("local playground: the pass to watch shows all activity, opens nothing else, and is for this machine only", async () => {
  await withLocalStack({}, async (stack) => {
    const [response, text] = await get(stack, "/playground/watch_pass", { method: "POST" });
    assert.equal(response.headers.get("access-control-allow-origin"), null);
    const { token } = JSON.parse(text);
    const watcher = new WireClient(`${stack.wsUrl}${LIVE}`, ["agent-websocket.v1", `jwt-${token}`]);
    await watcher.next(/"connection_established"/);
    const visitor = new WireClient(`${stack.wsUrl}/functions/v1/agent_websocket`);
    await watcher.next(/"session_event".*"created"/);
    await watcher.close();
    await visitor.close();
    const [metrics] = await get(stack, "/functions/v1/agent_websocket/metrics", {
      headers: { authorization: `Bearer ${token}` },
    });
    assert.equal(metrics.status, 401);

    // A host name that an attacker has pointed to this machine (DNS rebinding).
    const url = new URL(stack.url);
    using connection = await Deno.connect({ hostname: "127.0.0.1", port: Number(url.port) });
    const head =
      `POST /playground/watch_pass HTTP/1.1\r\nHost: evil.example:${url.port}\r\nContent-Length: 0\r\n\r\n`;
    await connection.write(new TextEncoder().encode(head));
    const answer = await new Response(connection.readable).text();
    assert.match(answer, /^HTTP\/1\.1 403 /);
    assert.doesNotMatch(answer, /token/);
  });
});
