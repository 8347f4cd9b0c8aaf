/** The thread on which a store's database and Supabase Lite run, because PGlite leaves timers and an exit code behind. */

import { App } from "@supabase/lite";
import { openDatabase } from "../../local/lite_database.ts";
import { SUPABASE_ROLES } from "../../local/supabase_roles.ts";
import { serveThread } from "../../local/thread.ts";

export interface StoreSetup {
  /** If undefined, PGlite is used. */
  databaseUrl: string | undefined;
  secretKey: string;
  jwtSecret: string;
  migrations: readonly string[];
}

serveThread(async ({ databaseUrl, secretKey, jwtSecret, migrations }: StoreSetup): Promise<number> => {
  const { connection } = await openDatabase(databaseUrl);
  const { driver } = connection;
  const query = async (text: string): Promise<unknown> =>
    "unsafe" in driver ? await driver.unsafe(text) : (await driver.query(text)).rows;
  const app = new App({
    connection,
    auth: {
      enabled: true,
      site_url: "http://127.0.0.1",
      jwt_secret: jwtSecret,
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
