/** Has a worker of `agent_websocket` open a session that perhaps nobody has open. */

import type { Clock, Log } from "../ports/runtime.ts";
import { deadlineFetch } from "./deadline_fetch.ts";

/** Longer than a worker takes to start and to read a session. */
const TIMEOUT_MS = 10_000;
/** A worker that is being replaced, or is full, has a successor by then. */
const RETRY_MS = 1000;
const MAX_LOGGED_CHARS = 500;

export interface WakeAgentOptions {
  /** The project's URL, without a slash at its end. */
  supabaseUrl: string;
  secretKey: string;
  clock: Clock;
  log: Log;
}

/** The returned function never rejects. If a worker cannot be reached, the session goes on when somebody opens it. */
export function wakeAgent(
  { supabaseUrl, secretKey, clock, log }: WakeAgentOptions,
): (sessionId: string) => Promise<void> {
  const fetch = deadlineFetch(clock, TIMEOUT_MS);
  const base = `${supabaseUrl}/functions/v1/agent_websocket/sessions`;
  const ask = (sessionId: string): Promise<Response> =>
    fetch(`${base}/${sessionId}/wake`, { method: "POST", headers: { apikey: secretKey } });
  const wake = async (sessionId: string): Promise<void> => {
    let response = await ask(sessionId);
    if (response.status === 503) {
      await new Promise<void>((resolve) => void clock.after(RETRY_MS, resolve));
      response = await ask(sessionId);
    }
    if (response.ok) return;
    const { status } = response;
    const answer = (await response.text()).slice(0, MAX_LOGGED_CHARS);
    log.write({ level: "warn", event: "wake_failed", session_id: sessionId, status, answer });
  };
  return (sessionId) =>
    wake(sessionId).catch((error) =>
      log.write({ level: "warn", event: "wake_failed", session_id: sessionId, error })
    );
}
