/** A session with many events that a client has missed: real questions and answers, and no client connected. */

import type { Script } from "../model/script.ts";
import type { ProjectProcess } from "../project/process.ts";
import { ask, check } from "./answer.ts";
import { RawSocket } from "./raw_socket.ts";

/** Events: each turn is a query and a response. */
export const MISSED = 1000;
/** About 190 characters per answer. */
const SCRIPT: Script = { tokens: 50, perSecond: 0, perWrite: 1 };

export interface MissedSession {
  sessionId: string;
  resumeToken: string;
}

/** The session of a welcomed socket, with its resume token. */
export function sessionOf({ frames: [welcome] }: RawSocket): MissedSession {
  const { session_id, resume_token } = JSON.parse(new TextDecoder().decode(welcome));
  return { sessionId: session_id, resumeToken: resume_token };
}

export async function missEvents(port: number): Promise<MissedSession> {
  const socket = await RawSocket.open(port);
  for (let turn = 0; turn < MISSED / 2; turn++) check(await ask(socket, SCRIPT), SCRIPT);
  socket.close();
  return sessionOf(socket);
}

/**
 * Copies of the session with the same log and the same token. A worker keeps a session that it has served, so each copy
 * can be new to a worker once.
 */
export async function copiesOf(
  { sessionId, resumeToken }: MissedSession,
  project: ProjectProcess,
  count: number,
): Promise<MissedSession[]> {
  const ids = Array.from({ length: count }, () => crypto.randomUUID());
  const copies = `unnest(array['${ids.join("','")}']::uuid[]) as copy (id)`;
  await project.sql(`
    insert into public.agent_sessions (session_id, token_hash, created_at, last_seq, last_query_seq, epoch)
      select copy.id, token_hash, created_at, last_seq, last_query_seq, epoch
      from public.agent_sessions, ${copies} where session_id = '${sessionId}';
    insert into public.agent_events (session_id, seq, key, kind, turn_id, event, created_at)
      select copy.id, seq, key, kind, turn_id, event, created_at
      from public.agent_events, ${copies} where session_id = '${sessionId}' order by copy.id, seq;
    -- As the autovacuum of a database that lives longer would have done.
    analyze public.agent_sessions, public.agent_events;
  `);
  return ids.map((sessionId) => ({ sessionId, resumeToken }));
}
