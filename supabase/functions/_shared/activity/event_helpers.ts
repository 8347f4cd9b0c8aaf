/** Events from their data alone, as in the original: what the time is comes from a clock. */

import type { Clock } from "../ports/runtime.ts";
import type {
  ActivityEvent,
  LoadChangeData,
  MemoryOperationData,
  ReasoningUpdateData,
  SessionEventData,
  SystemEventData,
} from "../protocol/activity_events.ts";
import { stamp } from "../protocol/stamp.ts";

/** Each stamps its event with the moment of the call. None needs a `this`: they may be taken apart. */
export interface ActivityEventHelpers {
  createMemoryOperationEvent(data: MemoryOperationData): ActivityEvent;
  createReasoningUpdateEvent(data: ReasoningUpdateData): ActivityEvent;
  createLoadChangeEvent(data: LoadChangeData): ActivityEvent;
  createSessionEvent(data: SessionEventData): ActivityEvent;
  createSystemEvent(data: SystemEventData): ActivityEvent;
}

/** The five helpers, by this clock. */
export function activityEventHelpers(clock: Pick<Clock, "now">): ActivityEventHelpers {
  function creator<Data extends ActivityEvent["data"]>(
    type: ActivityEvent["type"],
  ): (data: Data) => ActivityEvent {
    return (data) => ({ type, timestamp: stamp(clock.now()), data });
  }
  return {
    createMemoryOperationEvent: creator<MemoryOperationData>("memory_operation"),
    createReasoningUpdateEvent: creator<ReasoningUpdateData>("reasoning_update"),
    createLoadChangeEvent: creator<LoadChangeData>("load_change"),
    createSessionEvent: creator<SessionEventData>("session_event"),
    createSystemEvent: creator<SystemEventData>("system_event"),
  };
}
