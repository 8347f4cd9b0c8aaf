/**
 * Our build with coalescing off: nothing is gathered for a tick, and every token is handed on by itself, as if each had
 * come in a read of its own.
 *
 * There is no setting for that, so the two places where text is gathered are put out of action here, before the function
 * is loaded.
 */

import { PacedLane } from "../../supabase/functions/_shared/openrouter/read_pacer.ts";
import { SessionDriver } from "../../supabase/functions/_shared/session/driver.ts";
import { tokenAt } from "../model/script.ts";

// Never fast, never in the pace.
PacedLane.prototype.noteRead = () => {};

const { take } = SessionDriver.prototype;
/** The model call of each session, and how many of its tokens were handed on. */
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
