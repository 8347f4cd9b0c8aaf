/**
 * Gives the test hooks access to a worker's live-activity hub, inside the worker's process, with `LOCAL_TEST_HOOKS=1`
 * only.
 *
 * The function does not know about it, and the deployed code has no switch for it. A module is loaded once per URL, so
 * the class found here is the one from which the function creates its hub. The constructor of that class calls
 * `whileWatched`.
 */

import type { ActivityEvent } from "../supabase/functions/_shared/protocol/activity_events.ts";
import type { ActivityHub } from "../supabase/functions/_shared/activity/activity_hub.ts";
import type { ActivityAsk, WatcherInfo } from "./worker_messages.ts";

const HUB_MODULE = "../_shared/activity/activity_hub.ts";

/** Runs a command of the hub and returns the watchers after it; undefined if there is no hub yet. */
export type ActivityTap = (ask: ActivityAsk) => WatcherInfo[] | undefined;

/** Must be called before the function is imported. Returns undefined for a function without live activity. */
export async function tapActivity(functionUrl: string): Promise<ActivityTap | undefined> {
  const module: { ActivityHub: typeof ActivityHub } | undefined = await import(
    new URL(HUB_MODULE, functionUrl).href
  ).catch(() => undefined);
  if (module === undefined) return undefined;
  const { prototype } = module.ActivityHub;
  const { whileWatched } = prototype;
  let hub: ActivityHub | undefined;
  prototype.whileWatched = function (...args): void {
    hub = this;
    whileWatched.apply(this, args);
  };
  return (ask) => {
    if (hub === undefined) return undefined;
    if (ask.action === "emit") {
      for (const event of ask.events) {
        hub.broadcast(event as unknown as ActivityEvent, { userId: ask.userId });
      }
    }
    if (ask.action === "close") hub.close();
    return hub.getClientInfo().map((info) => ({ ...info, connectedAt: info.connectedAt.toISOString() }));
  };
}
