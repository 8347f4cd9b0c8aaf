/** The query plans of the store's calls on a real PostgreSQL: each uses an index, for any amount of data. */

import assert from "node:assert/strict";
import postgres from "postgres";
import { type PostgresRelease, startPostgres } from "../support/postgres_server.ts";
import { readMigrations } from "../support/store_server.ts";

const SESSION = "00000000-0000-4000-8000-000000000777";

/** 20,000 sessions of 2,000 users, with 200,000 events and 60,000 turns, a hundredth of them open. */
const FILL = `
  insert into public.agent_sessions (session_id, user_id, created_at, last_active_at, active_hour, last_seq)
  select ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'user' || n % 2000, at, at,
    date_trunc('hour', at, 'UTC'), 10
  from (select n, now() - n * interval '1 minute' as at from generate_series(1, 20000) n) numbers;
  insert into public.agent_events (session_id, seq, key, kind, turn_id, event, created_at)
  select session_id, seq, case when seq % 3 = 1 then 'q:' else 'n:' end || seq, 'notification', null,
    jsonb_build_object('kind', 'notification', 'seq', seq, 'at', 1, 'content', repeat('x', 100)), created_at
  from public.agent_sessions, generate_series(1, 10) seq order by created_at;
  insert into public.agent_turns (session_id, turn_id, query_id, query_seq, created_at, ended_at)
  select session_id, 't-' || n, 'q-' || n, n * 3 - 2, created_at,
    case when hashtext(session_id::text || n) % 100 = 0 then null else created_at end
  from public.agent_sessions, generate_series(1, 3) n;
  insert into public.agent_turn_pieces
  select session_id, 't-1', n, 'x' from public.agent_sessions, generate_series(1, 3) n where last_seq = 10;
  insert into public.agent_feedback (session_id, id, turn_id, verdict, comment, call, after_seq, created_at)
  select session_id, 'f-' || n, 't-1', 'modify', '', gen_random_uuid(), n, created_at
  from public.agent_sessions, generate_series(1, 2) n;
  insert into public.agent_calls
  select 'w' || n, case n % 2 when 0 then 'use' else 'commit' end, 1, '{}', now() - n * interval '0.19 seconds'
  from generate_series(1, 20000) n;
  insert into public.agent_notifications
  select 'n' || n, '', gen_random_uuid(), '[]', now() - n * interval '5 seconds' from generate_series(1, 20000) n;
  insert into public.agent_use
  select 'user:' || n, 20, now(), current_date - n % 3, 0 from generate_series(1, 20000) n where n % 3 < 2 or n % 99 = 2;
  insert into public.agent_connections
  select 'user:' || n, 'w' || n, 1 from generate_series(1, 20000) n;
  insert into public.agent_usage (id, session_id, turn_id, attempt, user_id, quota_key, model, prompt_tokens, cost,
    estimated, outcome, created_at)
  select gen_random_uuid(), ('00000000-0000-4000-8000-' || lpad((n % 20000)::text, 12, '0'))::uuid, 't-' || n, 1,
    case when n % 2 = 0 then 'user' || n % 2000 end, case when n % 2 = 1 and n < 8000 then 'address:' || n % 500 end,
    'model' || n % 5, 10, case when n % 3 = 0 then 0.1 end, n % 3 <> 0,
    case when n % 997 = 0 then 'open' else 'completed' end, now() - n * interval '30 seconds'
  from generate_series(1, 60000) n;
  update public.agent_sessions set user_id = 'busy', chat_id = 'chat' where session_id = '${SESSION}';
  update public.agent_sessions set user_id = 'many', message_hour = active_hour, last_message_at = last_active_at
  where session_id > '00000000-0000-4000-8000-000000019000';
  update public.agent_sessions set last_query_seq = 1 where user_id in ('user8', 'many');
  insert into public.agent_conversations (session_id, title, titled_by, preview, title_words, words, asked_chars)
  select session_id, 'Title', 'question', 'Preview', 'title', 'asked words', 5 from public.agent_sessions
  where user_id <> 'user8';
`;

/** Every call that the store makes. */
const CALLS: Readonly<Record<string, string>> = {
  find: `public.agent_find_conversation('${SESSION}', null, '[{"user_id":"busy"}]', 5, 1000000, 'w')`,
  "find a chat":
    `public.agent_find_conversation(null, 'chat', '[{"user_id":"busy"},{"token_hash":"x"}]', 5, 1000000, 'w')`,
  "list conversations": "public.agent_list_conversations('user7', null, 5, null, false, null)",
  "list 1,000 conversations": "public.agent_list_conversations('many', null, 50, null, false, null)",
  "the next of 1,000 conversations":
    "public.agent_list_conversations('many', null, 50, '00000000-0000-4000-8000-000000019500', false, null)",
  "search 1,000 conversations": "public.agent_list_conversations('many', null, 50, null, false, 'no such')",
  "find some of 1,000 conversations": "public.agent_list_conversations('many', null, 50, null, false, 'ask')",
  "list the archive": "public.agent_list_conversations('many', null, 50, null, true, null)",
  "search what was there before": "public.agent_list_conversations('user8', null, 5, null, false, 'no such')",
  "one conversation": `public.agent_list_conversations(null, '${SESSION}', 5, null, false, 'no such')`,
  "read what is visible": `public.agent_read_visible('${SESSION}', 9, 5, 1000000)`,
  rename: `public.agent_set_title('${SESSION}', '[{"user_id":"busy"}]', 'New', 'user')`,
  archive: `public.agent_archive_session('${SESSION}', '[{"user_id":"busy"}]', false)`,
  "find by the version before":
    `public.agent_find_session('${SESSION}', '[{"user_id":"busy"}]', 5, 1000000, 0, 'w')`,
  "list by the version before": "public.agent_list_sessions('user7', 5, null, 1800000)",
  "the next page by the version before":
    "public.agent_list_sessions('user7', 5, '00000000-0000-4000-8000-000000000007', 0)",
  read: `public.agent_read('${SESSION}', 3, 5, 1000000, 'w')`,
  heads: `public.agent_heads('["${SESSION}","00000000-0000-4000-8000-000000000778"]')`,
  commit: `public.agent_commit('w1', 5, 5000, '[{"session":"${SESSION}","lease":"claim","started":"t-9",
    "stop":{"which":"all","reason":"cancelled"},"checkpoint":{"turn":"t-1","number":1,"text":"x"},"events":[
      {"kind":"query","queryId":"9","turnId":"t-9","content":"?"},
      {"kind":"response","queryId":"9","turnId":"t-9","content":"!"},
      {"kind":"query","queryId":"20","turnId":"t-20","content":"?","replaces":"9"}]}]')`,
  feedback: `public.agent_record_feedback(gen_random_uuid(), '${SESSION}', 'f', 't-1', null, null, '')`,
  "notify a session":
    `public.agent_notify(gen_random_uuid(), 'a', '', 'busy', '${SESSION}', null, '{"kind":"notification","notificationId":"a"}', 0)`,
  "notify a user":
    `public.agent_notify(gen_random_uuid(), 'b', '', null, null, 'user9', '{"kind":"notification","notificationId":"b"}', 0)`,
  settle: `public.agent_settle_use('w2', 5, '[{"key":"user:7","frames":1,"tokens":1,"connections":0},
    {"key":"user:8","frames":1,"tokens":1,"connections":1}]', 60, 20)`,
  account: `public.agent_account_usage('w9', 5,
    '[{"id":"00000000-0000-4000-8000-000000009999","session_id":"${SESSION}","turn_id":"t-1","user_id":"busy",
      "model":"model1","prompt_tokens":1,"completion_tokens":1,"reasoning_tokens":0,"estimated":true,
      "outcome":"cancelled","age_ms":5,"ended_ms":1}]',
    '["00000000-0000-4000-8000-000000009998"]',
    '[{"id":"00000000-0000-4000-8000-000000009999","prompt_tokens":1,"completion_tokens":1,"reasoning_tokens":0}]',
    '[{"id":"00000000-0000-4000-8000-000000009997","session_id":"${SESSION}","turn_id":"t-2","user_id":"user4",
      "model":"model1","prompt_tokens":1,"max_tokens":100},
      {"id":"00000000-0000-4000-8000-000000009996","session_id":"00000000-0000-4000-8000-000000000005","turn_id":"t-2",
      "quota_key":"address:5","model":"model2","prompt_tokens":1,"max_tokens":100}]', 100000, 10)`,
  create: "public.agent_create_conversation(gen_random_uuid(), 'new', null, 'chat', 1)",
  "create again": `public.agent_create_conversation('${SESSION}', 'new', null, 'chat', 1)`,
  remove: "public.agent_remove_session('00000000-0000-4000-8000-000000000779')",
  prune: "public.agent_prune(interval '13 days 20 hours')",
  "prune sessions that live on":
    "public.agent_prune_session('00000000-0000-4000-8000-000000000005', now(), 20)",
  upkeep: "public.agent_upkeep(13)",
};

for (const release of ["15", "18"] satisfies PostgresRelease[]) {
  Deno.test(`PostgreSQL ${release}: no call of the store reads a table from one end to the other`, async () => {
    const server = await startPostgres(release);
    const plans: string[] = [];
    const sql = postgres(server.url, { max: 1, onnotice: ({ message = "" }) => void plans.push(message) });
    try {
      for (const migration of await readMigrations()) await sql.unsafe(migration);
      // Without a check of each row's references: they are right, and checking them would take a third of the time.
      await sql.unsafe(`set session_replication_role = replica; ${FILL}; reset session_replication_role`);
      for (
        const table of [
          "sessions",
          "conversations",
          "events",
          "turns",
          "turn_pieces",
          "feedback",
          "calls",
          "notifications",
          "use",
          "connections",
          "usage",
        ]
      ) {
        await sql.unsafe(`vacuum analyze public.agent_${table}`);
      }
      // Every statement inside the functions logs its plan.
      await sql.unsafe(`load 'auto_explain'; set auto_explain.log_min_duration = 0;
        set auto_explain.log_nested_statements = on; set client_min_messages = log`);
      for (const [name, call] of Object.entries(CALLS)) {
        plans.length = 0;
        await sql.unsafe(`select ${call}`);
        const found = plans.join("\n");
        assert.match(found, /Index|Bitmap|Insert/, name);
        // agent_calls has one row for each worker of the last hour.
        const small = name === "prune" || name === "upkeep" ? "(?!calls|settings)" : "";
        const whole = plans.filter((plan) => new RegExp(`Seq Scan on [\\w.]*agent_${small}`).test(plan));
        assert.deepEqual(whole.map((plan) => plan.slice(0, 2000)), [], name);
      }
      // Also the users' own reads, which go through row level security.
      plans.length = 0;
      await sql.unsafe(`begin; create role reader; grant usage on schema public to reader;
        grant select on all tables in schema public to reader; set local role reader;
        set local request.jwt.claims = '{"sub":"busy"}'`);
      const rows = await sql.unsafe(
        `select seq from public.agent_events where session_id = '${SESSION}' order by seq`,
      );
      assert.equal(rows.length, 15);
      assert.equal(
        (await sql.unsafe("select session_id from public.agent_sessions where user_id = 'busy'")).length,
        1,
      );
      await sql.unsafe('set local request.jwt.claims = \'{"sub":"user4"}\'');
      assert.ok(
        (await sql.unsafe("select * from public.agent_usage where created_at > now() - interval '9 days'"))
          .length > 0,
      );
      assert.doesNotMatch(plans.join("\n"), /Seq Scan on [\w.]*agent_/);
    } finally {
      await sql.end();
      await server.stop();
    }
  });
}
