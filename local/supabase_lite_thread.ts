/// <reference lib="deno.worker" />
/** The thread that Supabase Lite runs on: told its setup once, answers with its port or with what went wrong. */

import { App } from "@supabase/lite";
import { createPgliteConnection } from "@supabase/lite/pglite";
import type { LiteReport, LiteSetup } from "./supabase_lite.ts";

async function start(setup: LiteSetup): Promise<number> {
  const connection = await createPgliteConnection({});
  const app = new App({
    connection,
    auth: {
      enabled: true,
      site_url: setup.url,
      jwt_secret: setup.jwtSecret,
      publishable_key: setup.publishableKey,
      secret_key: setup.secretKey,
      // There is nobody to read the mail: an account is confirmed as soon as it is made.
      email: { enable_signup: true, enable_confirmations: false },
    },
  });
  await app.ensureSystemSchema();
  for (const { name, sql } of setup.migrations) {
    try {
      await connection.exec(sql);
    } catch (cause) {
      throw new Error(`Cannot apply supabase/migrations/${name}: ${messageOf(cause)}`, { cause });
    }
  }
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    (request) => request.method === "OPTIONS" ? preflight(request) : answer(app, request),
  );
  return server.addr.port;
}

async function answer(app: App, request: Request): Promise<Response> {
  const response = await app.fetch(request);
  if (!response.headers.has("access-control-allow-origin")) {
    response.headers.set("access-control-allow-origin", "*");
  }
  return response;
}

/** Supabase's gateway allows what a browser asks for; Lite's own answer to a preflight of Auth leaves the headers out. */
function preflight(request: Request): Response {
  return new Response(null, {
    status: 204,
    headers: {
      "access-control-allow-origin": "*",
      "access-control-allow-methods": "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
      "access-control-allow-headers": request.headers.get("access-control-request-headers") ?? "*",
      "access-control-max-age": "3600",
    },
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function report(message: LiteReport): void {
  self.postMessage(message);
}

self.onmessage = ({ data }: MessageEvent<LiteSetup>) => {
  start(data).then((port) => report({ port }), (error) => report({ problem: messageOf(error) }));
};
