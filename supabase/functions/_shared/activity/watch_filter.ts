/** Which events a watcher is shown: by whose they are, and by what it subscribed to. */

import type { ActivityEventType } from "../protocol/activity_types.ts";

/** Everything, or only what is this user's. */
export type Sight = "all" | { readonly userId: string };

export interface WatchFilter {
  readonly sees: Sight;
  /** Empty for every type. */
  readonly types: ReadonlySet<ActivityEventType>;
}

/** Whether an event of this type is shown. With `userId` undefined the event has no owner: only watchers of everything see it. */
export function passes({ sees, types }: WatchFilter, type: ActivityEventType, userId?: string): boolean {
  return (sees === "all" || sees.userId === userId) && (types.size === 0 || types.has(type));
}

/** The same for two filters exactly when the same events pass them. */
export function filterKey({ sees, types }: WatchFilter): string {
  return JSON.stringify([sees === "all" ? null : sees.userId, ...[...types].sort()]);
}
