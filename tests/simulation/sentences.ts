/** The actions of a worker as sentences of a transcript. */

import type { LogWrite } from "../../supabase/functions/_shared/ports/event_log.ts";
import type { NewLogEvent, RewoundEvent } from "../../supabase/functions/_shared/protocol/log_event.ts";
import type { Effect } from "../../supabase/functions/_shared/session/core/effect.ts";

/** The sentence for an effect; undefined if a reader of the transcript does not need it. */
export function sentenceFor(id: string, effect: Effect): string | undefined {
  switch (effect.kind) {
    case "commit":
      return `${id} writes ${effect.number}: ${wordsFor(effect.write)}`;
    case "recall":
      return `${id} reads what came before ${effect.beforeSeq}`;
    case "ask": {
      const after = effect.partial === "" ? "" : ` to go on after "${effect.partial}"`;
      return `${id} asks the model for ${effect.query.queryId}${after}`;
    }
    case "act":
      return `${id} runs ${effect.callId}`;
    case "abort_acts":
      return `${id} gives ${effect.callIds.join(" ")} up`;
    case "abort":
      return `${id} gives the model call up`;
    case "show":
      return `${names(effect.to)} sees ${effect.event.seq} ${eventWords(effect.event)}`;
    case "replay":
      return `${names([effect.connectionId])} is replayed ${effect.events.map(({ seq }) => seq).join(" ")}`;
    case "delta":
      return `${names(effect.to)} reads ${effect.queryId} from ${effect.offset}: "${effect.content}"`;
    case "reasoning":
      return `${names(effect.to)} sees ${effect.queryId} think from ${effect.offset}: "${effect.content}"`;
    case "acknowledge": {
      const how = effect.position === 0 ? "runs" : `waits at ${effect.position}`;
      return `${names(effect.to)} is told that ${effect.queryId} ${how}${
        effect.seq === undefined ? "" : `, seq ${effect.seq}`
      }`;
    }
    case "repeat_end":
      return `${names([effect.connectionId])} is shown ${effect.event.seq} again`;
    case "refuse":
      return `${names(effect.to)} is refused ${effect.queryId}: ${effect.refusal.code}`;
    case "answer":
      return effect.result.ok
        ? `${names([effect.wish])} is answered${
          effect.result.queryIds.length === 0 ? "" : `: ${effect.result.queryIds.join(" ")}`
        }`
        : `${names([effect.wish])} is answered: ${effect.result.refusal.code}`;
    case "taken_over":
      return `${id} takes ${effect.query.queryId} over: ${effect.how}`;
    case "drained":
      return `${id} is done`;
    case "close_slow":
      return `${names([effect.connectionId])} is closed`;
    default:
      return undefined;
  }
}

function names(ids: readonly string[]): string {
  return ids.map((id) => id.split("-")[0]).join(" and ");
}

function wordsFor({ events = [], lease, epoch, startedTurnId, checkpoint, stop }: LogWrite): string {
  const parts = events.map(eventWords);
  if (stop !== undefined) {
    parts.push(`stop ${typeof stop.which === "object" ? stop.which.queryId : stop.which}`);
  }
  if (lease !== undefined) parts.push(lease);
  if (startedTurnId !== undefined) parts.push(`start ${startedTurnId.split(".")[0]}`);
  if (checkpoint !== undefined) parts.push(`checkpoint ${checkpoint.number} "${checkpoint.text}"`);
  if (epoch !== undefined) parts.push(`under epoch ${epoch}`);
  return parts.length === 0 ? "nothing" : parts.join(", ");
}

function eventWords(event: NewLogEvent | RewoundEvent): string {
  switch (event.kind) {
    case "query":
      return `query ${event.queryId}${event.replaces === undefined ? "" : ` replaces ${event.replaces}`}`;
    case "rewound":
      return `rewound ${event.replaces} from ${event.fromSeq}`;
    case "response":
      return `response ${event.queryId} "${event.content}"`;
    case "error":
      return `error ${event.queryId} ${event.code} "${event.partial}"`;
    case "cancelled":
      return `${event.reason} ${event.queryId} "${event.partial}"`;
    case "tool_call":
      return `call ${event.callId} ${event.name}${event.needs === "nothing" ? "" : ` needs ${event.needs}`}`;
    case "approval_requested":
    case "tool_started":
      return `${event.kind} ${event.callId}`;
    case "approval_decided":
      return `${event.verdict} ${event.callId}`;
    case "tool_result":
      return `result ${event.callId} ${event.outcome} "${event.output}"`;
    case "cleared":
    case "configured":
    case "notification":
      return event.kind;
  }
}
