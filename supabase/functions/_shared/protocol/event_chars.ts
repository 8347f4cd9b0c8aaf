import type { NewLogEvent, RewoundEvent } from "./log_event.ts";
import { isToolEvent, toolChars } from "./tool_events.ts";

/** About how much text an event of the log has, in UTF-16 units: what people and models have written. */
export function charsOf(event: NewLogEvent | RewoundEvent): number {
  if (isToolEvent(event)) return toolChars(event);
  switch (event.kind) {
    case "query":
      return event.feedback.reduce((sum, note) => sum + note.length, event.content.length);
    case "response":
      return event.content.length;
    case "notification":
      return event.content.length + (event.data === undefined ? 0 : JSON.stringify(event.data).length);
    case "error":
      return event.content.length + event.partial.length;
    case "cancelled":
      return event.partial.length;
    case "cleared":
    case "configured":
    case "rewound":
      return 0;
  }
}
