/** The sessions as stored in the database, read without any layer that could hide or repair something. */

import postgres from "postgres";
import type { StoredEvent } from "./frames.ts";
import { readStored } from "./reading.ts";
import type { LoggedSession } from "./records.ts";
import { addToCalls, isToolKind } from "./tool_log.ts";

const ENDED = ["response", "error", "cancelled"];

/** Every session, by its id. */
export async function readLogs(url: string): Promise<Map<string, LoggedSession>> {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  try {
    const logs = new Map<string, LoggedSession>();
    for (
      const row of await sql<{ id: string; seq: number }[]>`
      select session_id::text as id, last_seq::int as seq from public.agent_sessions`
    ) {
      logs.set(row.id, { lastSeq: row.seq, events: [], openTurns: [], takeOvers: 0, calls: [] });
    }
    for (
      const { id, title } of await sql<{ id: string; title: string }[]>`
      select session_id::text as id, title from public.agent_conversations where titled_by = 'user'`
    ) {
      const log = logs.get(id);
      if (log !== undefined) log.title = title;
    }
    const ended = new Set<string>();
    const takeOvers = new Map<string, Map<string, number>>();
    for (
      const { id, seq, at, event } of await sql<
        { id: string; seq: number; at: number; event: StoredEvent }[]
      >`
      select session_id::text as id, seq::int as seq, event, (extract(epoch from created_at) * 1000)::float8 as at
      from public.agent_events order by session_id, seq`
    ) {
      const log = logs.get(id);
      log?.events.push(readStored(seq, event));
      const { kind } = event;
      if (log !== undefined && isToolKind(kind)) addToCalls(log.calls, { seq, at, kind, event });
      if (ENDED.includes(event.kind)) ended.add(`${id} ${event.queryId}`);
    }
    for (
      const turn of await sql<{ id: string; query: string; state: string; starts: number }[]>`
      select session_id::text as id, query_id as query, state::text as state, starts::int as starts
      from public.agent_turns`
    ) {
      const log = logs.get(turn.id);
      if (log === undefined) continue;
      if (turn.starts > 1) {
        log.takeOvers += turn.starts - 1;
        const counts = takeOvers.get(turn.id) ?? new Map<string, number>();
        takeOvers.set(turn.id, counts.set(turn.query, turn.starts - 1));
        log.takeOversOf = counts;
      }
      if (!ended.has(`${turn.id} ${turn.query}`)) log.openTurns.push(`${turn.query} (${turn.state})`);
    }
    return logs;
  } finally {
    await sql.end();
  }
}
