/** A long conversation, written into the database as a worker would have written it. */

import postgres from "postgres";
import { query, response } from "./log_events.ts";

export interface LongConversation {
  /** The user whose conversation it is: that of this session. */
  likeSession: string;
  /** Each with an answer. */
  questions: number;
  /** The text of the question with this number, from 1. */
  question(number: number): string;
}

/** Writes a conversation of `2 * questions` events. Returns its session's id. */
export async function writeLongConversation(
  databaseUrl: string,
  { likeSession, questions, question }: LongConversation,
): Promise<string> {
  const sessionId = crypto.randomUUID();
  const at = Date.now() - 3_600_000;
  const created_at = new Date(at);
  const events = Array.from({ length: questions }, (_, index) => {
    const id = `q${index + 1}`;
    const asked = question(index + 1);
    return [query(id, asked), response(id, `Answer: ${asked}`)];
  }).flat().map((event, index) => ({ ...event, seq: index + 1, at }));
  const sql = postgres(databaseUrl, { max: 1 });
  try {
    const last_seq = events.length;
    await sql`insert into agent_sessions (session_id, user_id, created_at, last_active_at, last_message_at, message_hour,
        last_seq, last_query_seq)
      select ${sessionId}, user_id, ${created_at}, ${created_at}, ${created_at}, date_trunc('hour', ${created_at}::timestamptz),
        ${last_seq}, ${last_seq - 1}
      from agent_sessions where session_id = ${likeSession}`;
    const rows = events.map((event) => ({
      session_id: sessionId,
      seq: event.seq,
      key: `${event.kind === "query" ? "q" : "t"}:${event.kind === "query" ? event.queryId : event.turnId}`,
      kind: event.kind,
      turn_id: event.turnId,
      event: sql.json(event as unknown as postgres.JSONValue),
      created_at,
    }));
    await sql`insert into agent_events ${sql(rows)}`;
    const turns = events.filter(({ kind }) => kind === "query").map(({ turnId, queryId, seq }) => ({
      session_id: sessionId,
      turn_id: turnId,
      query_id: queryId,
      query_seq: seq,
      state: "completed",
      ended_at: created_at,
      created_at,
    }));
    await sql`insert into agent_turns ${sql(turns)}`;
    await sql`select agent_describe(${sessionId})`;
  } finally {
    await sql.end();
  }
  return sessionId;
}
