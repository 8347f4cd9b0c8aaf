/** What there is to know of a conversation that went wrong, short enough to be read. */

import { sameness } from "./reading.ts";
import type { ConversationRecord, DurableEvent, Fault, RunRecord } from "./records.ts";

const MAX_FAULTS = 40;
const MAX_CASES = 3;
const MAX_LINE = 110;

/** The faults, and the log and the clients' records of the first conversations that have one. */
export function caseFiles(faults: readonly Fault[], record: RunRecord): string {
  const list = faults.slice(0, MAX_FAULTS).map(({ kind, conversation, detail }) =>
    `${kind.toUpperCase()} ${conversation}: ${detail}`
  );
  if (faults.length > MAX_FAULTS) list.push(`… and ${faults.length - MAX_FAULTS} more`);
  const names = new Set(faults.map(({ conversation }) => conversation));
  const cases = record.conversations.filter(({ name }) => names.has(name)).slice(0, MAX_CASES);
  return [...list, ...cases.map((conversation) => caseFile(conversation, record))].join("\n");
}

function caseFile(conversation: ConversationRecord, { logs }: RunRecord): string {
  const { name, sessionId, tabs } = conversation;
  const log = logs?.get(sessionId);
  const lines = [`\n=== ${name}, session ${sessionId}`];
  if (log !== undefined) {
    lines.push(`--- the log, last_seq ${log.lastSeq}; open: ${log.openTurns.join(", ") || "nothing"}`);
    lines.push(...log.events.map(short));
  }
  for (const { name, visits } of tabs) {
    for (const [index, { lastSeq, resumed, events, resent, sessionId: visited }] of visits.entries()) {
      const said = resumed === undefined ? "" : ` ${JSON.stringify(resumed)}`;
      const again = resent.size === 0 ? "" : `, sent again: ${[...resent].join(" ")}`;
      const where = visited === sessionId ? "" : `, session ${visited}`;
      lines.push(`--- ${name}, visit ${index + 1}, after ${lastSeq}${said}${again}${where}`);
      lines.push(
        ...events.map((event) =>
          `${short(event)}${event.isAck ? " (ack)" : ""}${event.isReplay ? " (replay)" : ""}`
        ),
      );
    }
  }
  return lines.join("\n");
}

function short(event: DurableEvent): string {
  const text = `${String(event.seq).padStart(4)} ${sameness(event)}`;
  return text.length > MAX_LINE ? `${text.slice(0, MAX_LINE)}…` : text;
}
