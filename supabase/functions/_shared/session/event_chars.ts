import type { LogEvent } from "../protocol/log_event.ts";
import { isToolEvent, toolChars } from "../protocol/tool_events.ts";

/** How much text an event of the log has, in UTF-16 units: what people and models have written. */
export function charsOf(event: LogEvent): number {
  if (isToolEvent(event)) return toolChars(event);
  switch (event.kind) {
    case "query":
      return event.feedback.reduce((sum, note) => sum + note.length, event.content.length);
    case "response":
      return event.content.length;
    case "notification":
      return event.content.length + (event.data === undefined ? 0 : JSON.stringify(event.data).length);
    case "error":
    case "cancelled":
      return event.partial.length;
    case "cleared":
    case "configured":
    case "rewound":
      return 0;
  }
}
