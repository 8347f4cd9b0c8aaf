/** Puts live activity together: what the agent tells of itself, to those who watch it here and at other workers. */

import { ActivityHub } from "../_shared/activity/activity_hub.ts";
import { AgentActivity } from "../_shared/activity/agent_activity.ts";
import { LoadMeter, type LoadReading, Rate } from "../_shared/activity/load_meter.ts";
import { RelayedActivity } from "../_shared/activity/relayed_activity.ts";
import type { Config } from "../_shared/config.ts";
import type { Metrics } from "../_shared/metrics.ts";
import type { Clock, Ids, Log, Relay } from "../_shared/ports.ts";
import type { Readers } from "./loaded_later.ts";

export interface LiveActivityDeps {
  clock: Clock;
  ids: Ids;
  log: Log;
  metrics: Metrics;
  relay: Relay;
  workerId: string;
  readers: Readers;
}

export interface LiveActivity {
  hub: ActivityHub;
  /** What comes from other workers goes in here. */
  watched: RelayedActivity;
  /** What the agent tells goes in here. */
  activity: AgentActivity;
  /** Measures and tells for as long as anybody watches. `onWatched` hears of the first watcher, and of the last one's end. */
  start(
    count: () => { sessions: number; runningTurns: number },
    onWatched: (isWatched: boolean) => void,
  ): void;
}

export function createLiveActivity(config: Config, deps: LiveActivityDeps): LiveActivity {
  const { clock, log, relay, readers, workerId } = deps;
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
  const watched = new RelayedActivity({ hub, relay, clock, log, workerId, parser: readers.activityParser });
  const activity = new AgentActivity(watched, clock);
  const commits = new Rate(clock, () => activity.commits);
  return {
    hub,
    watched,
    activity,
    start(count, onWatched): void {
      const load = new LoadMeter({
        clock,
        sink: watched,
        read: (): LoadReading => ({ ...count(), commitsPerSecond: commits.perSecond() }),
      });
      // Nobody can watch before the first one does: that is when the worker's start is told.
      let isAnnounced = false;
      hub.whileWatched(() => {
        if (!isAnnounced) activity.system("startup", { status: "ok" });
        isAnnounced = true;
        return () => {};
      });
      hub.whileWatched(() => load.start());
      hub.whileWatched(() => {
        onWatched(true);
        return () => onWatched(false);
      });
    },
  };
}
