/** A database with the project's migrations behind Supabase Lite's REST, for stores that speak supabase-js. */

import { App, type Connection } from "@supabase/lite";
import { createPgliteConnection } from "@supabase/lite/pglite";
import { createPostgresConnection } from "@supabase/lite/postgres";
import { SUPABASE_ROLES } from "../../local/supabase_roles.ts";
import { type PostgresRelease, startPostgres } from "./postgres_server.ts";

const MIGRATIONS = new URL("../../supabase/migrations/", import.meta.url);
const JWT_SECRET = "super-secret-jwt-token-with-at-least-32-characters-long";

/** Lite hands postgres.js the JSON of an argument as text, which that would take for a string, and encode once more. */
const JSONB = {
  to: 3802,
  from: [3802],
  serialize: (value: unknown): string => typeof value === "string" ? value : JSON.stringify(value),
  parse: (text: string): unknown => JSON.parse(text),
};

export interface StoreServer extends AsyncDisposable {
  /** What supabase-js is given. */
  url: string;
  secretKey: string;
  /** Where the PostgreSQL listens; undefined for PGlite, which does not. */
  databaseUrl: string | undefined;
  /** Runs SQL as the owner, and answers with the rows. */
  sql(text: string): Promise<Record<string, unknown>[]>;
}

/** The migrations, in the order in which they are applied. */
export async function readMigrations(): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of Deno.readDir(MIGRATIONS)) if (name.endsWith(".sql")) names.push(name);
  return await Promise.all(names.sort().map((name) => Deno.readTextFile(new URL(name, MIGRATIONS))));
}

/** PostgreSQL in this process, with one connection. */
export async function startPglite(): Promise<StoreServer> {
  const connection = await createPgliteConnection({});
  const lite = await startLite(connection);
  return {
    ...lite,
    databaseUrl: undefined,
    sql: async (text) => (await connection.driver.query<Record<string, unknown>>(text)).rows,
    async [Symbol.asyncDispose](): Promise<void> {
      await lite.stop();
      await connection.driver.close();
    },
  };
}

/** A real PostgreSQL, with as many connections as are asked for. */
export async function startPostgresStore(release?: PostgresRelease): Promise<StoreServer> {
  const server = await startPostgres(release);
  const connection = createPostgresConnection({
    url: server.url,
    postgresOptions: { onnotice: () => {}, max: 20, types: { jsonb: JSONB } },
  });
  const lite = await startLite(connection);
  return {
    ...lite,
    databaseUrl: server.url,
    sql: async (text) => Array.from(await connection.driver.unsafe(text)),
    async [Symbol.asyncDispose](): Promise<void> {
      await lite.stop();
      await connection.close();
      await server.stop();
    },
  };
}

async function startLite(
  connection: Connection,
): Promise<{ url: string; secretKey: string; stop: () => Promise<void> }> {
  const secretKey = "sb_secret_local_development";
  const app = new App({
    connection,
    auth: {
      enabled: true,
      site_url: "http://127.0.0.1",
      jwt_secret: JWT_SECRET,
      publishable_key: "sb_publishable_local_development",
      secret_key: secretKey,
    },
  });
  await app.ensureSystemSchema();
  await connection.exec(SUPABASE_ROLES);
  for (const migration of await readMigrations()) await connection.exec(migration);
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    (request) => app.fetch(request),
  );
  return { url: `http://127.0.0.1:${server.addr.port}`, secretKey, stop: () => server.shutdown() };
}
