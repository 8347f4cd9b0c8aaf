/** Auth and REST: Supabase Lite, on PGlite in memory or on a PostgreSQL. */

import type { Demo } from "./demo.ts";
import type { LocalKeys } from "./keys.ts";
import { startThread, type Thread } from "./thread.ts";

/** Messages to the thread. */
export interface LiteSetup {
  url: string;
  jwtSecret: string;
  publishableKey: string;
  secretKey: string;
  /** The PostgreSQL to use; undefined for PGlite. */
  databaseUrl: string | undefined;
  /** In the order in which they are applied. */
  migrations: readonly Migration[];
  /** What is applied after them, if there is no such table. */
  seed: Seed | undefined;
}

export interface Seed {
  sql: string;
  /** With its schema, such as `public.orders`. */
  table: string;
}

export interface Migration {
  name: string;
  sql: string;
}

export interface SupabaseLiteOptions {
  keys: LocalKeys;
  /** The stack's own address. */
  url: string;
  /** Undefined for PGlite, which is empty at each start. */
  databaseUrl: string | undefined;
  /** The folder of migrations, each applied once, in the order of their names. May be missing. */
  migrations: URL;
  demo: Pick<Demo, "sql" | "table"> | undefined;
}

/** Resolves when the start has begun. The start itself takes some seconds. */
export async function startSupabaseLite(
  { keys, url, databaseUrl, migrations, demo }: SupabaseLiteOptions,
): Promise<Thread> {
  const setup: LiteSetup = {
    url,
    jwtSecret: keys.jwtSecret,
    publishableKey: keys.publishableKey,
    secretKey: keys.secretKey,
    databaseUrl,
    migrations: await readMigrations(migrations),
    seed: demo && { sql: await Deno.readTextFile(demo.sql), table: demo.table },
  };
  return startThread(new URL("./supabase_lite_thread.ts", import.meta.url), { name: "Supabase Lite", setup });
}

async function readMigrations(directory: URL): Promise<Migration[]> {
  const names: string[] = [];
  try {
    for await (const entry of Deno.readDir(directory)) {
      if (entry.isFile && entry.name.endsWith(".sql")) names.push(entry.name);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return await Promise.all(
    names.sort().map(async (name) => {
      const path = new URL(encodeURIComponent(name), directory);
      return { name, sql: await Deno.readTextFile(path) };
    }),
  );
}
