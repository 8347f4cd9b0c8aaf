/** The thread that a store's database and Supabase Lite run on: PGlite leaves timers and an exit code behind. */

import { App, type Connection } from "@supabase/lite";
import { createPgliteConnection } from "@supabase/lite/pglite";
import { createPostgresConnection } from "@supabase/lite/postgres";
import { SUPABASE_ROLES } from "../../local/supabase_roles.ts";
import { serveThread } from "../../local/thread.ts";

export interface StoreSetup {
  /** Without one it is PGlite. */
  databaseUrl: string | undefined;
  secretKey: string;
  migrations: readonly string[];
}

/** Lite hands postgres.js the JSON of an argument as text, which that would take for a string, and encode once more. */
const JSONB = {
  to: 3802,
  from: [3802],
  serialize: (value: unknown): string => typeof value === "string" ? value : JSON.stringify(value),
  parse: (text: string): unknown => JSON.parse(text),
};

serveThread(async ({ databaseUrl, secretKey, migrations }: StoreSetup): Promise<number> => {
  const { connection, query } = await connect(databaseUrl);
  const app = new App({
    connection,
    auth: {
      enabled: true,
      site_url: "http://127.0.0.1",
      jwt_secret: "super-secret-jwt-token-with-at-least-32-characters-long",
      publishable_key: "sb_publishable_local_development",
      secret_key: secretKey,
    },
  });
  await app.ensureSystemSchema();
  await connection.exec(SUPABASE_ROLES);
  for (const migration of migrations) await connection.exec(migration);
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    if (new URL(request.url).pathname !== "/sql") return app.fetch(request);
    try {
      return Response.json(await query(await request.text()));
    } catch (error) {
      return new Response(String(error), { status: 500 });
    }
  });
  return server.addr.port;
});

interface Connected {
  connection: Connection;
  query(text: string): Promise<unknown>;
}

async function connect(url: string | undefined): Promise<Connected> {
  if (url === undefined) {
    const connection = await createPgliteConnection({});
    return { connection, query: async (text) => (await connection.driver.query(text)).rows };
  }
  const connection = createPostgresConnection({
    url,
    postgresOptions: { onnotice: () => {}, max: 20, types: { jsonb: JSONB } },
  });
  return { connection, query: (text) => connection.driver.unsafe(text) };
}
