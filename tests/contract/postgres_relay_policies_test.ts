/**
 * The policies for joining and sending on the relay's topics, on real PostgreSQL servers with the table that Realtime
 * creates.
 */

import assert from "node:assert/strict";
import postgres from "postgres";
import { SUPABASE_ROLES } from "../../local/supabase_roles.ts";
import { EVERYONE_TOPIC, sessionTopic } from "../../supabase/functions/_shared/protocol/topics.ts";
import { type PostgresRelease, startPostgres } from "../support/postgres_server.ts";
import { readMigrations } from "../support/store_server.ts";

/**
 * The table as Realtime's migrations create it (source: its repository): partitioned, owned by its own role that
 * `postgres` is a member of, and readable by the roles of the API.
 */
const REALTIME = `
create role supabase_realtime_admin nologin noinherit;
create role owner_of_project login;
grant supabase_realtime_admin to owner_of_project;
grant create on database postgres to supabase_realtime_admin;
set role supabase_realtime_admin;
create schema realtime;
create table realtime.messages (
  topic text not null, extension text not null, payload jsonb, event text, private boolean default false,
  updated_at timestamp not null default now(), inserted_at timestamp not null default now(),
  id uuid not null default gen_random_uuid(), primary key (id, inserted_at)
) partition by range (inserted_at);
create table realtime.messages_all partition of realtime.messages default;
alter table realtime.messages enable row level security;
create function realtime.topic() returns text language sql stable
  as $$ select nullif(current_setting('realtime.topic', true), '')::text $$;
grant usage on schema realtime to anon, authenticated, service_role;
grant select, insert, update, delete on realtime.messages to anon, authenticated, service_role;
reset role;`;

/** A project's policies for its own channels, which allow everything. */
const OPEN_TO_ALL = `
create policy "everybody reads" on realtime.messages for select to anon, authenticated using (true);
create policy "everybody writes" on realtime.messages for insert to anon, authenticated with check (true);
create policy "everybody does anything" on realtime.messages for all to anon, authenticated using (true) with check (true);`;

const OURS = [EVERYONE_TOPIC, sessionTopic("00000000-0000-4000-8000-000000000000"), "agent_websocket:7"];
/** The project's own topics, including names that are almost like ours. */
const OTHERS = ["room", "agent_websocket", "agent_websockets:1", "my agent_websocket:1", "agentXwebsocket:1"];

interface World {
  sql: postgres.Sql;
  /**
   * Whether Realtime would let a client with this role join the topic. It checks that by selecting a row inserted for
   * the check.
   */
  reads(role: string, topic: string): Promise<boolean>;
  /** Whether Realtime would let a client with this role send on the topic. */
  writes(role: string, topic: string): Promise<boolean>;
  /** Whether a statement in the database itself, without Realtime's setting, may insert. */
  inserts(role: string, topic: string): Promise<boolean>;
}

class RolledBack extends Error {}

async function withRealtime(release: PostgresRelease, body: (world: World) => Promise<void>): Promise<void> {
  const server = await startPostgres(release);
  const sql = postgres(server.url, { max: 1, onnotice: () => {} });

  async function check(
    topic: string | undefined,
    ask: (transaction: postgres.TransactionSql) => Promise<boolean>,
  ): Promise<boolean> {
    let answer: boolean | undefined;
    await sql.begin(async (transaction) => {
      await transaction`select set_config('realtime.topic', ${topic ?? ""}, true)`;
      answer = await ask(transaction);
      throw new RolledBack();
    }).catch((error: unknown) => {
      if (!(error instanceof RolledBack)) throw error;
    });
    return answer ?? assert.fail();
  }
  const insert = (transaction: postgres.TransactionSql, role: string, topic: string): Promise<boolean> =>
    transaction.savepoint(async (point) => {
      await point.unsafe(`set local role ${role}`);
      await point`insert into realtime.messages (topic, extension) values (${topic}, 'broadcast')`;
      return true;
    }).catch((error: unknown) => {
      assert.equal((error as { code?: unknown }).code, "42501");
      return false;
    });

  try {
    await sql.unsafe(SUPABASE_ROLES);
    await sql.unsafe(REALTIME);
    await sql.unsafe(OPEN_TO_ALL);
    await body({
      sql,
      reads: (role, topic) =>
        check(topic, async (transaction) => {
          await transaction`insert into realtime.messages (topic, extension) values (${topic}, 'broadcast')`;
          await transaction.unsafe(`set local role ${role}`);
          return (await transaction`select id from realtime.messages where topic = ${topic}`).length === 1;
        }),
      writes: (role, topic) => check(topic, (transaction) => insert(transaction, role, topic)),
      inserts: (role, topic) => check(undefined, (transaction) => insert(transaction, role, topic)),
    });
  } finally {
    await sql.end();
    await server.stop();
  }
}

/** As the platform applies them, then a second time: nothing may change. */
async function migrate(sql: postgres.Sql, prefix = ""): Promise<void> {
  for (let time = 0; time < 2; time++) {
    for (const migration of await readMigrations()) await sql.unsafe(prefix + migration);
  }
}

const RELAY_MIGRATION = "agent_websocket is for the service role only";

for (const release of ["15", "18"] satisfies PostgresRelease[]) {
  Deno.test(`[RL5] PostgreSQL ${release}: a project's own using (true) opens its topics, and none of ours`, async () => {
    await withRealtime(release, async ({ sql, reads, writes, inserts }) => {
      // Without our policy the topics are open, so the results below come from our policy.
      for (const ask of [reads, writes, inserts]) {
        assert.equal(await ask("authenticated", EVERYONE_TOPIC), true);
      }
      await migrate(sql);
      for (const role of ["anon", "authenticated", "service_role"]) {
        for (const topic of OURS) {
          const may = role === "service_role";
          const answers = [await reads(role, topic), await writes(role, topic), await inserts(role, topic)];
          assert.deepEqual(answers, [may, may, may], `${role}: ${topic}`);
        }
        for (const topic of OTHERS) {
          const answers = [await reads(role, topic), await writes(role, topic), await inserts(role, topic)];
          assert.deepEqual(answers, [true, true, true], `${role}: ${topic}`);
        }
      }
      // A row cannot be written under another topic while the setting names ours, and cannot be moved to ours.
      for (const role of ["anon", "authenticated"]) {
        const moved = async (): Promise<unknown> =>
          await sql.begin(async (transaction) => {
            await transaction`insert into realtime.messages (topic, extension) values ('room', 'broadcast')`;
            await transaction.unsafe(`set local role ${role}`);
            return await transaction`update realtime.messages set topic = ${EVERYONE_TOPIC}`;
          });
        await assert.rejects(moved, { code: "42501" });
      }
    });
  });
}

Deno.test("[RL5] the policy is made by a role that may, and elsewhere the migration says what is missing and goes on", async () => {
  await withRealtime("18", async ({ sql, reads }) => {
    const said: string[] = [];
    const { host, port } = sql.options;
    const project = postgres({
      host: host[0],
      port: port[0],
      database: "postgres",
      username: "owner_of_project",
      max: 1,
      onnotice: (notice) => void said.push(String(notice.message)),
    });
    try {
      const migration = (await readMigrations()).find((text) => text.includes(RELAY_MIGRATION)) ??
        assert.fail();
      await sql.unsafe("revoke supabase_realtime_admin from owner_of_project");
      await sql.unsafe("grant usage on schema realtime to owner_of_project");
      await project.unsafe(migration);
      assert.match(
        said.join("\n"),
        /the role owner_of_project may not make policies on realtime\.messages: run this file/,
      );
      assert.equal(await reads("authenticated", EVERYONE_TOPIC), true);

      said.length = 0;
      await sql.unsafe("grant supabase_realtime_admin to owner_of_project");
      await project.unsafe(migration);
      assert.equal(await reads("authenticated", EVERYONE_TOPIC), false);

      await sql.unsafe("alter table realtime.messages disable row level security");
      await project.unsafe(migration);
      assert.match(said.join("\n"), /row level security is off on realtime\.messages/);
    } finally {
      await project.end();
    }
  });
});
