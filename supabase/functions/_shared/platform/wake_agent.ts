/** Has a worker of `agent_websocket` open a session that perhaps nobody has open. */

import type { Clock, Log, WorkerLifetime } from "../ports/runtime.ts";
import { deadlineFetch } from "./deadline_fetch.ts";

/** Longer than a worker takes to start and to read a session. */
const TIMEOUT_MS = 10_000;

export interface WakeAgentOptions {
  /** The project's URL. */
  supabaseUrl: string;
  secretKey: string;
  clock: Clock;
  log: Log;
  lifetime: WorkerLifetime;
}

/** The returned function never throws. If a worker cannot be reached, the session goes on when somebody opens it. */
export function wakeAgent(
  { supabaseUrl, secretKey, clock, log, lifetime }: WakeAgentOptions,
): (sessionId: string) => void {
  const fetch = deadlineFetch(clock, TIMEOUT_MS);
  const base = `${supabaseUrl.replace(/\/+$/, "")}/functions/v1/agent_websocket/sessions`;
  return (sessionId) => {
    const failed = (problem: Record<string, unknown>): void =>
      log.write({ level: "warn", event: "wake_failed", session_id: sessionId, ...problem });
    const asking = fetch(`${base}/${sessionId}/wake`, { method: "POST", headers: { apikey: secretKey } });
    lifetime.hold(
      asking.then(({ ok, status }) => ok ? undefined : failed({ status }), (error) => failed({ error })),
    );
  };
}
