/** The thread that runs Supabase Lite: it receives its setup once, and answers with its port or an error. */

import { App } from "@supabase/lite";
import { openDatabase } from "./lite_database.ts";
import type { LiteSetup } from "./supabase_lite.ts";
import { SUPABASE_ROLES } from "./supabase_roles.ts";
import { serveThread } from "./thread.ts";

async function start(setup: LiteSetup): Promise<number> {
  const { connection, migrate, seed } = await openDatabase(setup.databaseUrl);
  const app = new App({
    connection,
    auth: {
      enabled: true,
      site_url: setup.url,
      jwt_secret: setup.jwtSecret,
      publishable_key: setup.publishableKey,
      secret_key: setup.secretKey,
      // There is no mailbox here: an account is confirmed as soon as it is created.
      email: { enable_signup: true, enable_confirmations: false },
    },
  });
  await app.ensureSystemSchema();
  await connection.exec(SUPABASE_ROLES);
  for (const { name, sql } of setup.migrations) {
    try {
      await migrate({ name, sql });
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new Error(`supabase/migrations/${name} cannot be applied: ${why}`, { cause });
    }
  }
  if (setup.seed !== undefined) await seed(setup.seed);
  // With the first request of a user, Lite grants its roles their rights. On PostgreSQL, two such requests at once fail.
  await connection.withContext({ auth: { uid: null, role: "anon" } }, () => Promise.resolve());
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

/** Supabase's gateway allows the headers that a browser asks for; Lite's own answer to an Auth preflight omits them. */
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

serveThread(start);
