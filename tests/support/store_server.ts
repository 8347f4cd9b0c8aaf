/** A database with the project's migrations, behind Supabase Lite's REST API, for stores that use supabase-js. */

import { startThread } from "../../local/thread.ts";
import { type PostgresRelease, startPostgres } from "./postgres_server.ts";
import type { StoreSetup } from "./store_thread.ts";

const MIGRATIONS = new URL("../../supabase/migrations/", import.meta.url);

/** Signs the tokens of users. */
export const JWT_SECRET = "super-secret-jwt-token-with-at-least-32-characters-long";

export interface StoreServer extends AsyncDisposable {
  /** The URL for supabase-js. */
  url: string;
  secretKey: string;
  /** The URL of the PostgreSQL; undefined for PGlite, which does not listen. */
  databaseUrl: string | undefined;
  /** Runs SQL as the owner, and returns the rows. */
  sql(text: string): Promise<Record<string, unknown>[]>;
}

/** The migrations, in the order in which they are applied. */
export async function readMigrations(): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of Deno.readDir(MIGRATIONS)) if (name.endsWith(".sql")) names.push(name);
  return await Promise.all(names.sort().map((name) => Deno.readTextFile(new URL(name, MIGRATIONS))));
}

/** PGlite: PostgreSQL 17 in WebAssembly, one connection. */
export function startPglite(): Promise<StoreServer> {
  return startServer(undefined, () => Promise.resolve());
}

/** A real PostgreSQL, by default with the project's migrations. */
export async function startPostgresStore(
  release?: PostgresRelease,
  migrations?: readonly string[],
): Promise<StoreServer> {
  const { url, stop } = await startPostgres(release);
  return await startServer(url, stop, migrations);
}

/** The first call makes the REST API read the schema, which takes seconds on a busy machine. Calls of a store have deadlines. */
async function readSchema(url: string, secretKey: string): Promise<void> {
  const headers = { apikey: secretKey, "content-type": "application/json" };
  const call = { method: "POST", headers, body: "{}" };
  const response = await fetch(`${url}/rest/v1/rpc/agent_store_version`, call);
  await response.body?.cancel();
}

async function startServer(
  databaseUrl: string | undefined,
  stop: () => Promise<void>,
  migrations?: readonly string[],
): Promise<StoreServer> {
  const secretKey = "sb_secret_local_development";
  const setup: StoreSetup = {
    databaseUrl,
    secretKey,
    jwtSecret: JWT_SECRET,
    migrations: migrations ?? await readMigrations(),
  };
  const thread = startThread(new URL("./store_thread.ts", import.meta.url), {
    name: "the test's database",
    setup,
  });
  const end = async (): Promise<void> => {
    thread.stop();
    await stop();
  };
  const port = await thread.port.catch(async (error: unknown) => {
    await end();
    throw error;
  });
  const url = `http://127.0.0.1:${port}`;
  // A database that is still to be migrated must not have its schema read before.
  if (migrations === undefined) await readSchema(url, secretKey);
  return {
    url,
    secretKey,
    databaseUrl,
    sql: async (text) => {
      const response = await fetch(`${url}/sql`, { method: "POST", body: text });
      const body = await response.text();
      if (!response.ok) throw new Error(body);
      return JSON.parse(body);
    },
    [Symbol.asyncDispose]: end,
  };
}
