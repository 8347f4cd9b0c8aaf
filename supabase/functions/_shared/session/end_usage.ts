/** The usage in the end of a turn that was cut off: its call has ended without a report. */

import type { LogWrite } from "../ports/event_log.ts";
import type { NewLogEvent, Usage } from "../protocol/log_event.ts";

/** The write with what each such turn has used, as far as this worker knows. */
export function withUsage(write: LogWrite, usageOf: (turnId: string) => Usage | undefined): LogWrite {
  if (!write.events?.some(isCutOff)) return write;
  return {
    ...write,
    events: write.events.map((event) => isCutOff(event) ? withItsUsage(event, usageOf) : event),
  };
}

function isCutOff(event: NewLogEvent): event is Extract<NewLogEvent, { kind: "cancelled" | "error" }> {
  return event.kind === "cancelled" || event.kind === "error" && event.partial !== "";
}

function withItsUsage(
  event: Extract<NewLogEvent, { kind: "cancelled" | "error" }>,
  usageOf: (turnId: string) => Usage | undefined,
): NewLogEvent {
  const usage = usageOf(event.turnId);
  return usage === undefined ? event : { ...event, usage };
}

/** What two calls have used together. */
export function addUsage(a: Usage, b: Usage): Usage {
  const [reasoning = 0, more = 0] = [a.reasoning_tokens, b.reasoning_tokens];
  return {
    prompt_tokens: a.prompt_tokens + b.prompt_tokens,
    completion_tokens: a.completion_tokens + b.completion_tokens,
    total_tokens: a.total_tokens + b.total_tokens,
    ...(reasoning + more > 0 && { reasoning_tokens: reasoning + more }),
    ...(a.cost !== undefined && b.cost !== undefined && { cost: a.cost + b.cost }),
    ...((a.estimated || b.estimated) && { estimated: true as const }),
  };
}
