/** Puts together what shows activity to those who watch it here, and to other workers that are watched. */

import { ActivityHub } from "../_shared/activity/activity_hub.ts";
import type { AgentActivity } from "../_shared/activity/agent_activity.ts";
import { LoadMeter, type LoadReading, Rate } from "../_shared/activity/load_meter.ts";
import { RelayedActivity } from "../_shared/activity/relayed_activity.ts";
import type { Config } from "../_shared/config.ts";
import type { LiveActivityDeps } from "./live_activity.ts";

export interface WatchedActivity {
  hub: ActivityHub;
  /** What this worker and the others tell goes in here. */
  relayed: RelayedActivity;
}

/** Measures and tells for as long as anybody watches. */
export function createWatchedActivity(
  config: Config,
  { deps, reporter }: { deps: LiveActivityDeps; reporter: AgentActivity },
): WatchedActivity {
  const { clock, log, relay, readers, workerId, count, onWatched } = deps;
  const hub = new ActivityHub({
    ...deps,
    decoder: readers.actionDecoder,
    maxBufferedBytes: config.MAX_BUFFERED_BYTES,
    maxMessageBytes: config.MAX_MESSAGE_BYTES,
    isPinged: config.ACTIVITY_HEARTBEAT_MS > 0,
  }, {
    path: config.ACTIVITY_PATH,
    heartbeatIntervalMs: config.ACTIVITY_HEARTBEAT_MS,
    clientTimeoutMs: config.ACTIVITY_TIMEOUT_MS,
    maxClients: config.MAX_CLIENTS,
  });
  const relayed = new RelayedActivity({ hub, relay, clock, log, workerId, parser: readers.activityParser });
  const commits = new Rate(clock, () => reporter.commits);
  const load = new LoadMeter({
    clock,
    sink: relayed,
    read: (): LoadReading => ({ ...count(), commitsPerSecond: commits.perSecond() }),
  });
  // Nobody can watch before the first one does: that is when the worker's start is told.
  let isAnnounced = false;
  hub.whileWatched(() => {
    if (!isAnnounced) reporter.system("startup", { status: "ok" });
    isAnnounced = true;
    return () => {};
  });
  hub.whileWatched(() => load.start());
  hub.whileWatched(() => {
    onWatched(true);
    return () => onWatched(false);
  });
  return { hub, relayed };
}
