/** Builds the parts that show activity to watchers at this worker. */

import { ActivityHub } from "../_shared/activity/activity_hub.ts";
import type { AgentActivity } from "../_shared/activity/agent_activity.ts";
import { LoadMeter, type LoadReading, Rate } from "../_shared/activity/load_meter.ts";
import type { RelayedActivity } from "../_shared/activity/relayed_activity.ts";
import type { ActivitySink } from "../_shared/activity/reporter.ts";
import type { Config } from "../_shared/config.ts";
import type { Metrics } from "../_shared/metrics.ts";
import type { Clock, Ids, Log } from "../_shared/ports/runtime.ts";
import type { Readers } from "./lazy_modules.ts";

export interface WatchedActivityDeps {
  clock: Clock;
  ids: Ids;
  log: Log;
  metrics: Metrics;
  readers: Readers;
  /** What there is at this moment. */
  count(): { sessions: number; runningTurns: number };
  /** Called with the first watcher, and with the last one's end. */
  onWatched(isWatched: boolean): void;
}

export interface WatchedActivity {
  hub: ActivityHub;
  /** Shows an event that came over the relay from another worker or a function. */
  show(payload: unknown): void;
}

export interface WatchedActivityParts {
  deps: WatchedActivityDeps;
  reporter: AgentActivity;
  /** Takes the measurements. */
  sink: ActivitySink;
  relayed: RelayedActivity | undefined;
}

/** Measures and reports while there are watchers. */
export function createWatchedActivity(
  config: Config,
  { deps, reporter, sink, relayed }: WatchedActivityParts,
): WatchedActivity {
  const { clock, log, readers, count, onWatched } = deps;
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
  const commits = new Rate(clock, () => reporter.commits);
  const load = new LoadMeter({
    clock,
    sink,
    read: (): LoadReading => ({ ...count(), commitsPerSecond: commits.perSecond() }),
  });
  // There is no watcher before the first one, so the worker's start is reported to that one.
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
  if (relayed !== undefined) hub.whileWatched(() => relayed.sayWatched());
  const show = (payload: unknown): void => {
    const { event, userId } = fieldsOf(payload);
    const owned = typeof event === "object" && typeof userId === "string"
      ? { ...event, user_id: userId }
      : event;
    readers.activityParser.use((parse) => {
      const read = parse(owned, clock.now());
      if ("event" in read) hub.broadcast(read.event, { userId: read.userId });
    }, (error) => log.write({ level: "error", event: "activity_not_read", error }));
  };
  return { hub, show };
}

function fieldsOf(payload: unknown): { event?: unknown; userId?: unknown } {
  return typeof payload === "object" && payload !== null ? payload : {};
}
