/** The events of the live activity as types, derived from the agent's types, and their decoder. */

import type {
  LoadChangeData,
  MemoryOperationData,
  ReasoningUpdateData,
  SessionEventData,
  SystemEventData,
} from "../supabase/functions/_shared/protocol/activity_events.ts";

export type { LoadChangeData, ReasoningUpdateData };

interface Data {
  memory_operation: MemoryOperationData;
  reasoning_update: ReasoningUpdateData;
  load_change: LoadChangeData;
  session_event: SessionEventData;
  system_event: SystemEventData;
}

/** The event types that a user can select. */
export type ActivityType = keyof Data;
export type ActivityEvent = {
  [Type in ActivityType]: { type: Type; timestamp: string; data: Data[Type] };
}[ActivityType];

export const ACTIVITY_TYPES: readonly ActivityType[] = [
  "reasoning_update",
  "memory_operation",
  "session_event",
  "load_change",
  "system_event",
];

/** The events of a frame: none, one, or a batch. The agent's events are trusted, not validated. */
export function readEvents(text: string): ActivityEvent[] {
  const frame: unknown = JSON.parse(text);
  const { type, events } = frame as { type?: unknown; events?: unknown };
  const all = type === "batch" && Array.isArray(events) ? events : [frame];
  return all.filter((event): event is ActivityEvent => ACTIVITY_TYPES.some((one) => one === event?.type));
}

/** One event as one line, without its type. */
export function describe(event: ActivityEvent): string {
  switch (event.type) {
    case "reasoning_update": {
      const { sessionId, stage, mode, progress } = event.data;
      return `${short(sessionId)} ${stage}${mode ? ` ${mode}` : ""} ${Math.round(progress * 100)} %`;
    }
    case "memory_operation": {
      const { operation, sector, memoryId, success, duration } = event.data;
      const took = duration === undefined ? "" : ` ${duration.toFixed(1)} ms`;
      return `${operation}${sector ? ` ${sector}` : ""} ${short(memoryId ?? "")}${took}${
        success ? "" : " failed"
      }`;
    }
    case "session_event":
      return `${short(event.data.sessionId)} ${event.data.event}`;
    case "load_change":
      return `${event.data.visualIntensity} ${Math.round(event.data.loadLevel * 100)} %`;
    case "system_event":
      return [event.data.event, event.data.status, event.data.message].filter(Boolean).join(" ");
  }
}

function short(id: string): string {
  return id.slice(0, 8);
}
