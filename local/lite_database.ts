/** The database of Supabase Lite, and the record of applied migrations. */

import { createRequire } from "node:module";
import { createPgliteConnection, type PgliteConnection } from "@supabase/lite/pglite";
import { createPostgresConnection, type PostgresConnection } from "@supabase/lite/postgres";
import { openFromImage } from "./database_image.ts";
import type { Migration, Seed } from "./supabase_lite.ts";

/** Concurrent queries: Lite itself is one thread, and sends queries while others run. */
const POOL_SIZE = 20;
/** A lock, so that two stacks on one database do not apply a migration twice. The number is arbitrary. */
const MIGRATION_LOCK = 4_241_729;

export interface LiteDatabase {
  connection: PgliteConnection | PostgresConnection;
  /** Applies a migration unless it was applied before. */
  migrate(migration: Migration): Promise<void>;
  /** Applies SQL that is no migration, unless its table exists. */
  seed(seed: Seed): Promise<void>;
}

/** Without `url`: an empty PGlite. */
export async function openDatabase(url: string | undefined): Promise<LiteDatabase> {
  if (url === undefined) {
    const connection = await openFromImage(imageOfPglite(), async (image) => {
      const connection = await createPgliteConnection(image && { pgliteOptions: { loadDataDir: image } });
      const { driver } = connection;
      await driver.waitReady;
      return { database: connection, dump: () => driver.dumpDataDir("gzip") };
    });
    const apply = async ({ sql }: { sql: string }): Promise<void> => await connection.exec(sql);
    return { connection, migrate: apply, seed: apply };
  }
  const connection = createPostgresConnection({
    url,
    postgresOptions: { max: POOL_SIZE, onnotice: () => {}, types: { json: json(114), jsonb: json(3802) } },
  });
  return {
    connection,
    migrate: (migration) => migrateOnce(connection, migration),
    seed: (seed) => seedOnce(connection, seed),
  };
}

/** The file name contains the version from the package's path: another version may store its data in another format. */
function imageOfPglite(): URL {
  const { resolve } = createRequire(import.meta.resolve("@supabase/lite/pglite"));
  const version = /pglite[/@](\d[\w.-]*)/.exec(resolve("@electric-sql/pglite").replaceAll("\\", "/"))?.[1];
  return new URL(`../.ci/tmp/pglite-${version ?? "unknown"}.tar.gz`, import.meta.url);
}

/** Lite has already converted JSON arguments to text; its own driver options would make a JSON string of that text. */
function json(oid: number): PostgresJsonType {
  return {
    to: oid,
    from: [oid],
    serialize: (value) => typeof value === "string" ? value : JSON.stringify(value),
    parse: (text) => JSON.parse(text),
  };
}

interface PostgresJsonType {
  to: number;
  from: number[];
  serialize(value: unknown): string;
  parse(text: string): unknown;
}

/** Stores the record in the table that `supabase db push` uses, so that each knows the other's migrations. */
async function migrateOnce({ driver }: PostgresConnection, { name, sql }: Migration): Promise<void> {
  const [, version = name, title = ""] = /^(\d+)_?(.*)\.sql$/.exec(name) ?? [];
  await driver.begin(async (transaction) => {
    await transaction`select pg_advisory_xact_lock(${MIGRATION_LOCK})`;
    await transaction.unsafe(`
      create schema if not exists supabase_migrations;
      create table if not exists supabase_migrations.schema_migrations
        (version text primary key, statements text[], name text);
    `);
    const [known] = await transaction`
      select version from supabase_migrations.schema_migrations where version = ${version}`;
    if (known !== undefined) return;
    await transaction.unsafe(sql);
    await transaction`
      insert into supabase_migrations.schema_migrations (version, statements, name)
      values (${version}, ${[sql]}, ${title})`;
  });
}

/** Leaves no record: `supabase db push` would look for the migration. */
async function seedOnce({ driver }: PostgresConnection, { sql, table }: Seed): Promise<void> {
  await driver.begin(async (transaction) => {
    await transaction`select pg_advisory_xact_lock(${MIGRATION_LOCK})`;
    const [{ name } = {}] = await transaction`select to_regclass(${table}) as name`;
    if (name === null) await transaction.unsafe(sql);
  });
}
