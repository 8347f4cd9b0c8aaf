/** The grants for reading, writing and executing, on real PostgreSQL servers with the roles of a Supabase project. */

import assert from "node:assert/strict";
import postgres from "postgres";
import { SUPABASE_ROLES } from "../../local/supabase_roles.ts";
import { notification, query } from "../support/log_events.ts";
import { type PostgresRelease, startPostgres } from "../support/postgres_server.ts";
import { readMigrations } from "../support/store_server.ts";

const ANN = "00000000-0000-4000-8000-00000000000a";
const BOB = "00000000-0000-4000-8000-00000000000b";
const NOBODY = "00000000-0000-4000-8000-00000000000c";

const OF_USERS = [
  "agent_sessions",
  "agent_conversations",
  "agent_events",
  "agent_turns",
  "agent_turn_pieces",
  "agent_feedback",
  "agent_usage",
];

for (const release of ["15", "18"] satisfies PostgresRelease[]) {
  Deno.test(`[DU4] PostgreSQL ${release}: users read their own rows with select *; only the service role writes and executes`, async () => {
    const server = await startPostgres(release);
    const sql = postgres(server.url, { max: 1, onnotice: () => {} });
    try {
      await sql.unsafe(SUPABASE_ROLES);
      // As the platform applies them, then a second time: nothing may change.
      for (let time = 0; time < 2; time++) {
        for (const migration of await readMigrations()) await sql.unsafe(migration);
      }

      const as = async (role: string, claims: string, text: string): Promise<unknown> =>
        await sql.begin(async (transaction) => {
          await transaction`select set_config('request.jwt.claims', ${claims}, true)`;
          await transaction.unsafe(`set local role ${role}`);
          return await transaction.unsafe(text);
        });
      const refused = async (role: string, text: string): Promise<void> => {
        for (const claims of ["", JSON.stringify({ sub: "ann", role }), JSON.stringify({ role })]) {
          await assert.rejects(() => as(role, claims, text), { code: "42501" }, `${role}: ${text}`);
        }
      };

      // Everything that the store does, with the role that it uses.
      const service = (text: string): Promise<unknown> => as("service_role", "", text);
      await service(`select public.agent_create_session('${ANN}', 'ann', null, 1)`);
      await service(`select public.agent_create_session('${BOB}', 'bob', null, 1)`);
      await service(`select public.agent_create_session('${NOBODY}', null, 'hash', 1)`);
      for (const [index, session] of [ANN, BOB, NOBODY].entries()) {
        const checkpoint = { turn: "t-q", number: 1, text: "so far" };
        const write = { session, lease: "claim", events: [query("q")], started: "t-q" };
        // The checkpoints of a turn come after its start.
        const writes = JSON.stringify([write, { session, epoch: 1, checkpoint }]);
        await service(`select public.agent_commit('w', ${index + 1}, 5000, '${writes}')`);
        const feedback = `'${crypto.randomUUID()}', '${session}', 'f', 't-q', null, 1, 'good'`;
        await service(`select public.agent_record_feedback(${feedback})`);
      }
      const usage = [[ANN, "ann"], [BOB, "bob"], [NOBODY, null]].map(([session_id, user_id]) => ({
        id: crypto.randomUUID(),
        session_id,
        turn_id: "t-q",
        user_id,
        quota_key: user_id === null ? "address:203.0.113.7" : null,
        model: "m",
        prompt_tokens: 10,
        max_tokens: 5,
      }));
      await service(
        `select public.agent_account_usage('w', 1, '[]', '[]', '[]', '${JSON.stringify(usage)}', 100, 0)`,
      );
      await service(
        `select public.agent_settle_use('w', 1, '[{"key":"k","frames":1,"tokens":1,"connections":1}]', 60, 20)`,
      );
      const pushed = JSON.stringify(notification("n", ""));
      await service(
        `select public.agent_notify('${crypto.randomUUID()}', 'n', '', null, '${ANN}', null, '${pushed}', 0)`,
      );
      await service(`select public.agent_set_title('${ANN}', '[{"user_id":"ann"}]', 'A title', 'user')`);
      await service("select public.agent_list_conversations('ann', null, 5, null, false, 'title')");
      await service("select public.agent_prune(interval '1 day')");
      await service("select public.agent_upkeep(1)");

      const tables = (await sql`
        select relname from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'
      `).map(({ relname }) => String(relname));
      assert.ok(tables.length >= 10);
      const functions = await sql`
        select p.oid::regprocedure::text as name, pg_get_function_identity_arguments(p.oid) as arguments,
          p.proconfig::text as config
        from pg_proc p where p.pronamespace = 'public'::regnamespace`;
      assert.ok(functions.length >= 24);
      const held = await sql`select relname, relrowsecurity from pg_class where relname = any(${tables})`;
      assert.ok(held.every(({ relrowsecurity }) => relrowsecurity === true));

      for (const role of ["anon", "authenticated"]) {
        for (const table of tables) {
          if (role === "anon" || !OF_USERS.includes(table)) {
            await refused(role, `select 1 from public.${table}`);
          }
          await refused(role, `insert into public.${table} default values`);
          await refused(role, `delete from public.${table}`);
          await refused(role, `truncate public.${table}`);
          const column = table === "agent_use" ? "key" : table === "agent_sessions" ? "user_id" : undefined;
          if (column !== undefined) await refused(role, `update public.${table} set ${column} = 'ann'`);
        }
        for (const { name, config } of functions) {
          assert.equal(config, '{"search_path=\\"\\""}', name);
          const [may] = await sql`select has_function_privilege(${role}, ${name}, 'execute') as execute`;
          assert.equal(may?.execute, false, `${role}: ${name}`);
        }
        await refused(role, "select public.agent_store_version()");
        await refused(role, "select public.agent_heads('[]')");
        await refused(role, "select public.agent_list_conversations('ann', null, 5, null, false, null)");
        await refused(role, "select public.agent_prune(interval '0')");
        await refused(role, "select public.agent_upkeep(1)");
        await refused(role, "select public.agent_account_usage('w', 2, '[]', '[]', '[]', '[]', 0, 0)");
      }
      // No row that a user can see contains the hash of an anonymous session's resume token.
      const hashes = await as(
        "authenticated",
        JSON.stringify({ sub: "ann" }),
        "select distinct token_hash from public.agent_sessions",
      );
      assert.deepEqual([...hashes as unknown[]], [{ token_hash: null }]);

      const addresses = await as(
        "authenticated",
        JSON.stringify({ sub: "ann" }),
        "select distinct quota_key from public.agent_usage",
      );
      assert.deepEqual([...addresses as unknown[]], [{ quota_key: null }]);

      for (const table of OF_USERS) {
        const rows = async (claims: string): Promise<string[]> =>
          (await as("authenticated", claims, `select * from public.${table}`) as {
            session_id: string;
          }[])
            .map(({ session_id }) => session_id);
        assert.deepEqual([...new Set(await rows(JSON.stringify({ sub: "ann" })))], [ANN], table);
        assert.deepEqual([...new Set(await rows(JSON.stringify({ sub: "bob" })))], [BOB], table);
        for (
          const claims of ["", "{}", "null", JSON.stringify({ sub: null }), JSON.stringify({ sub: "carl" })]
        ) {
          assert.deepEqual(await rows(claims), [], `${table}: ${claims}`);
        }
      }
    } finally {
      await sql.end();
      await server.stop();
    }
  });

  Deno.test(`[DU4] PostgreSQL ${release}: the migration needs none of Supabase's roles, and leaves nothing to everyone`, async () => {
    const server = await startPostgres(release);
    const sql = postgres(server.url, { max: 1, onnotice: () => {} });
    try {
      for (const migration of await readMigrations()) await sql.unsafe(migration);
      await sql.unsafe("create role passer_by; grant usage on schema public to passer_by");
      await sql.unsafe("set role passer_by");
      for (const text of ["select public.agent_store_version()", "select 1 from public.agent_events"]) {
        await assert.rejects(() => sql.unsafe(text).execute(), { code: "42501" });
      }
    } finally {
      await sql.end();
      await server.stop();
    }
  });
}
