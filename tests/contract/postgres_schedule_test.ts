/** The retention schedule on real PostgreSQL servers, with a stand-in for pg_cron. */

import assert from "node:assert/strict";
import postgres from "postgres";
import { type PostgresRelease, startPostgres } from "../support/postgres_server.ts";
import { readMigrations } from "../support/store_server.ts";

/** The parts of pg_cron that the migration uses. The extension itself is not among the binaries. */
const FAKE_CRON = `
  create schema cron;
  create table cron.job (
    jobid bigint generated always as identity primary key, schedule text not null, command text not null,
    active boolean not null default true, jobname text unique
  );
  create function cron.schedule(job_name text, schedule text, command text) returns bigint language sql as $$
    insert into cron.job as j (jobname, schedule, command) values ($1, $2, $3)
    on conflict (jobname) do update set schedule = excluded.schedule, command = excluded.command returning jobid
  $$;
  create function cron.alter_job(job_id bigint, active boolean) returns void language sql as $$
    update cron.job set active = $2 where jobid = $1
  $$;
  create function cron.unschedule(job_name text) returns boolean language sql as $$
    delete from cron.job where jobname = $1 returning true
  $$;
`;
const OF_FIRST = `select cron.schedule('agent_websocket_prune', '17 * * * *',
  'select public.agent_prune(interval ''30 days'')')`;
const OURS = {
  jobname: "agent_websocket_upkeep",
  schedule: "*/5 * * * *",
  command: "select public.agent_upkeep()",
  active: true,
};

for (const release of ["15", "18"] satisfies PostgresRelease[]) {
  Deno.test(`[DU6] PostgreSQL ${release}: one schedule, the operator's where they changed it, however often the migrations are applied`, async () => {
    const database = await startPostgres(release);
    const sql = postgres(database.url, { max: 1, onnotice: () => {} });
    const [first = "", ...others] = await readMigrations();
    /** Does what the first migration does if the extension is installed, which is impossible here. */
    const apply = async (): Promise<void> => {
      await sql.unsafe(first);
      await sql.unsafe(OF_FIRST);
      for (const migration of others) await sql.unsafe(migration);
    };
    const jobs = async (): Promise<unknown[]> => [
      ...await sql`select jobname, schedule, command, active from cron.job order by jobname`,
    ];
    const afresh = async (text: string): Promise<void> => {
      await sql.unsafe(`truncate cron.job; delete from public.agent_settings; ${text}`);
    };
    try {
      for (const migration of [first, ...others]) await sql.unsafe(migration);
      await sql.unsafe(FAKE_CRON);
      for (let time = 0; time < 2; time++) {
        await apply();
        assert.deepEqual(await jobs(), [OURS]);
      }
      // A job that the operator changed, disabled or deleted stays as it is.
      await sql.unsafe("update cron.job set schedule = '0 3 * * *'");
      await apply();
      assert.deepEqual(await jobs(), [{ ...OURS, schedule: "0 3 * * *" }]);
      await sql.unsafe("update cron.job set active = false");
      await apply();
      assert.deepEqual(await jobs(), [{ ...OURS, schedule: "0 3 * * *", active: false }]);
      await sql.unsafe("delete from cron.job");
      await apply();
      assert.deepEqual(await jobs(), []);
      // The operator's changes to the job of the first migration are carried over once.
      const command = "select public.agent_prune(interval '90 days')";
      await afresh(`${OF_FIRST}; update cron.job set command = $$${command}$$, active = false`);
      for (const migration of others) await sql.unsafe(migration);
      assert.deepEqual(await jobs(), [{ ...OURS, command, active: false }]);
      await apply();
      assert.deepEqual(await jobs(), [{ ...OURS, command, active: false }]);
      // The extension is enabled later.
      await afresh("");
      for (const migration of others) await sql.unsafe(migration);
      assert.deepEqual(await jobs(), [OURS]);
    } finally {
      await sql.end();
      await database.stop();
    }
  });
}
