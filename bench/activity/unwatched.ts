/** The cost of the agent's reports without watchers. */

import { ActivityHub } from "../../supabase/functions/_shared/activity/activity_hub.ts";
import { AgentActivity } from "../../supabase/functions/_shared/activity/agent_activity.ts";
import type { ActivityReporter } from "../../supabase/functions/_shared/activity/reporter.ts";
import { Metrics } from "../../supabase/functions/_shared/metrics.ts";
import { OnDemand } from "../../supabase/functions/_shared/on_demand.ts";
import { systemClock, systemIds } from "../../supabase/functions/_shared/platform/system.ts";
import { decodeAction } from "../../supabase/functions/_shared/protocol/activity_actions.ts";

const CALLS = 5_000_000;

/** Nanoseconds per call: of the most expensive kind of call, the best of three runs. */
export function unwatchedNs(): number {
  const clock = systemClock();
  const hub = new ActivityHub({
    clock,
    ids: systemIds(),
    log: { write: () => {} },
    metrics: new Metrics(),
    maxBufferedBytes: 1,
    maxMessageBytes: 1,
    isPinged: true,
    decoder: OnDemand.of(decodeAction),
  });
  const activity: ActivityReporter = new AgentActivity(hub, clock);
  const session = { sessionId: "s", owner: { kind: "user", userId: "u" } } as const;
  const turn = { query: { turnId: "t" }, text: "text" };
  const calls: readonly (() => void)[] = [
    () => activity.streaming(session, turn, 1500),
    () => activity.reasoning(session, turn, "thinking"),
    () =>
      activity.memory(session, { operation: "recall", sector: "history" }, { success: true, durationMs: 1 }),
    () => activity.session(session, "created"),
  ];
  return Math.max(...calls.map((call) => Math.min(...[1, 2, 3].map(() => timeOf(call)))));
}

function timeOf(call: () => void): number {
  const startedAt = performance.now();
  for (let count = 0; count < CALLS; count++) call();
  return (performance.now() - startedAt) * 1e6 / CALLS;
}
