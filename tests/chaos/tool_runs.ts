/** The runs of tools, as they have left them in the database. */

import postgres from "postgres";
import { SUPABASE_ROLES } from "../../local/supabase_roles.ts";

/** One run of a tool. */
export interface ToolRun {
  callId: string;
  idempotencyKey: string;
  /** Of this run: a call that runs again has another. */
  runId: string;
  tool: string;
  input: unknown;
  /** The `sub` of the token that it had; undefined for a visitor and for the service. */
  userId?: string;
}

const CLAIMED = "current_setting('request.jwt.claims', true)::jsonb ->> 'sub'";
const TABLE = `
  create table public.chaos_runs (
    run_id uuid primary key, call_id text not null, idempotency_key text not null, tool text not null, input jsonb not null,
    user_id text default (${CLAIMED}), at timestamptz not null default now()
  );
  alter table public.chaos_runs enable row level security;
  create policy own on public.chaos_runs for insert to authenticated with check (user_id = ${CLAIMED});
  create policy visitors on public.chaos_runs for insert to anon with check (user_id is null);
  grant insert on public.chaos_runs to anon, authenticated, service_role;
`;

/** The REST API reads the schema when it starts: call this before. */
export async function createRunsTable(url: string): Promise<void> {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  try {
    await sql.unsafe(SUPABASE_ROLES + TABLE);
  } finally {
    await sql.end();
  }
}

export async function readRuns(url: string): Promise<ToolRun[]> {
  const sql = postgres(url, { max: 1 });
  try {
    const rows = await sql<(Omit<ToolRun, "userId"> & { userId: string | null })[]>`
      select call_id as "callId", idempotency_key as "idempotencyKey", run_id::text as "runId", tool, input,
        user_id as "userId" from public.chaos_runs order by at`;
    return rows.map(({ userId, ...run }) => ({ ...run, ...(userId !== null && { userId }) }));
  } finally {
    await sql.end();
  }
}
