/** Accepts offers as the relay does when it has nothing to wait for. */

import type { CallSource, SessionCall } from "../../supabase/functions/_shared/protocol/session_call.ts";

/** Passes each offer to `call` in a later microtask. */
export function offerTo(
  call: (sessionId: string, call: SessionCall) => void,
): (sessionId: string, source: CallSource) => void {
  return (sessionId, { make }) =>
    queueMicrotask(() => {
      const made = make();
      if (made !== undefined) call(sessionId, made);
    });
}
