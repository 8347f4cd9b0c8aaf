/** A report about a faulty conversation, short enough to read. */

import { sameness } from "./reading.ts";
import {
  type ConversationRecord,
  type DurableEvent,
  type Fault,
  FAULT_KINDS,
  type RunRecord,
} from "./records.ts";

const MAX_FAULTS = 40;
const MAX_CASES = 3;
const MAX_LINE = 110;
const MAX_DETAIL = 400;

/** The faults, with the log and the clients' records of the first faulty conversations. */
export function caseFiles(found: readonly Fault[], record: RunRecord): string {
  const faults = found.toSorted((one, other) =>
    FAULT_KINDS.indexOf(one.kind) - FAULT_KINDS.indexOf(other.kind)
  );
  const sessions = new Map(record.conversations.map(({ name, sessionId }) => [name, sessionId]));
  const list = faults.slice(0, MAX_FAULTS).map(({ kind, conversation, detail }) =>
    `${kind.toUpperCase()} ${conversation} ${sessions.get(conversation) ?? ""}: ${
      detail.slice(0, MAX_DETAIL)
    }`
  );
  if (faults.length > MAX_FAULTS) list.push(`… and ${faults.length - MAX_FAULTS} more`);
  const names = new Set(faults.map(({ conversation }) => conversation));
  const cases = [...names].slice(0, MAX_CASES).flatMap((name) =>
    record.conversations.filter((conversation) => conversation.name === name)
  );
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
