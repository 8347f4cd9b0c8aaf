/**
 * Our build with coalescing off: no text is collected for a tick, and every token is forwarded alone, as if each had
 * come in a read of its own.
 *
 * There is no setting for this, so the two places that collect text are disabled here, before the function is loaded.
 */

import { PacedLane } from "../../supabase/functions/_shared/openrouter/read_pacer.ts";
import { SessionDriver } from "../../supabase/functions/_shared/session/driver.ts";
import { tokenAt } from "../model/script.ts";

// The lane never counts as fast, so text is never paced.
PacedLane.prototype.noteRead = () => {};

const { take } = SessionDriver.prototype;
/** The current model call of each session, and how many of its tokens were forwarded. */
const progress = new WeakMap<SessionDriver, { call: number; tokens: number }>();

SessionDriver.prototype.take = function (event): void {
  if (event.kind !== "text") return take.call(this, event);
  const { call, text } = event;
  const known = progress.get(this);
  const state = known?.call === call ? known : { call, tokens: 0 };
  progress.set(this, state);
  for (let from = 0; from < text.length;) {
    const until = from + tokenAt(state.tokens++).length;
    take.call(this, { kind: "text", call, text: text.slice(from, until) });
    from = until;
  }
};

await import("../../supabase/functions/agent_websocket/index.ts");
