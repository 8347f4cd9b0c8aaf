/** The usage in the end of a turn that was cut off: its call has ended without a report. */

import type { LogWrite } from "../ports/event_log.ts";
import type { NewLogEvent, Usage } from "../protocol/log_event.ts";

/** The write with what each such turn has used, as far as this worker knows. */
export function withUsage(write: LogWrite, usageOf: (turnId: string) => Usage | undefined): LogWrite {
  if (!write.events?.some(isCutOff)) return write;
  return {
    ...write,
    events: write.events.map((event) => isCutOff(event) ? addUsage(event, usageOf) : event),
  };
}

function isCutOff(event: NewLogEvent): event is Extract<NewLogEvent, { kind: "cancelled" | "error" }> {
  return event.kind === "cancelled" || event.kind === "error" && event.partial !== "";
}

function addUsage(
  event: Extract<NewLogEvent, { kind: "cancelled" | "error" }>,
  usageOf: (turnId: string) => Usage | undefined,
): NewLogEvent {
  const usage = usageOf(event.turnId);
  return usage === undefined ? event : { ...event, usage };
}
