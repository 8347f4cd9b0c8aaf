/** What takes offers as the relay does where there is nothing to wait for. */

import type { CallSource, SessionCall } from "../../supabase/functions/_shared/protocol/session_call.ts";

/** Hands what is offered to `call` in a turn of its own. */
export function offerTo(
  call: (sessionId: string, call: SessionCall) => void,
): (sessionId: string, source: CallSource) => void {
  return (sessionId, { make }) =>
    queueMicrotask(() => {
      const made = make();
      if (made !== undefined) call(sessionId, made);
    });
}
