/** Judges a run by its clients' records and by the log: finds every broken guarantee. */

import { step } from "./cursor.ts";
import { isTerminal, sameness } from "./reading.ts";
import type {
  ConversationRecord,
  DurableEvent,
  Fault,
  LoggedSession,
  RunRecord,
  Say,
  TabRecord,
} from "./records.ts";
import { checkReplaced } from "./replaced.ts";
import { answersTo, isBeginning } from "./script.ts";
import { checkRuns, checkTools } from "./tool_checks.ts";

/** Error codes of a turn that may be sent without a fault of the model; the table counts them. */
const OURS = ["interrupted", "store_unavailable"];
const STALL_GRACE_MS = 1000;

export function check(run: RunRecord): Fault[] {
  return [
    ...run.conversations.flatMap((conversation) => checkConversation(conversation, run)),
    ...checkRuns(run).map((detail) => fault("unlogged", "", detail)),
    ...run.attacks.flatMap(({ target, how, reason, sessionId }) =>
      reason === "unknown_session" && sessionId !== target
        ? []
        : [fault("foreign", "", `${how} opened session ${target}: ${reason ?? "resumed"}, got ${sessionId}`)]
    ),
    ...run.model.problems.map((problem) =>
      fault(problem.startsWith("foreign") ? "foreign" : "mismatched", "", `the model was asked: ${problem}`)
    ),
  ];
}

function checkConversation(conversation: ConversationRecord, run: RunRecord): Fault[] {
  const { name, sessionId, tabs } = conversation;
  const say = (kind: Fault["kind"], detail: string): Fault => fault(kind, name, detail);
  if (sessionId === "") return [say("hung", "it never got a session")];
  const log = run.logs?.get(sessionId);
  if (run.logs !== undefined && log === undefined) {
    return [say("lost", `session ${sessionId} is not in the database`)];
  }
  const seen = tabs.map((tab) => checkTab(tab, conversation));
  const longest = seen.map(({ events }) => events).sort((one, other) => other.length - one.length)[0] ?? [];
  // Without a database, the client that has seen the most events is used as the log.
  const truth = log?.events ?? longest;
  return [
    ...tabs.flatMap(({ faults }) => faults),
    ...seen.flatMap(({ faults }) => faults),
    ...(log === undefined ? [] : checkNumbers(log, say)),
    ...tabs.flatMap((tab, index) => compare(tab.name, seen[index]?.events ?? [], truth, say)),
    ...checkQueries(conversation, truth, run, say),
    ...checkReplaced(conversation, truth, run, say),
    ...(log === undefined ? [] : checkTools(conversation, log, run, say)),
    ...checkNotices(conversation, truth, say),
    ...(log === undefined ? [] : checkTitle(conversation, log, say)),
  ];
}

function fault(kind: Fault["kind"], conversation: string, detail: string): Fault {
  return { kind, conversation, detail };
}

/** Follows a tab from visit to visit; its events in order are what it has learned. */
function checkTab(
  { name, visits }: TabRecord,
  conversation: ConversationRecord,
): { events: DurableEvent[]; faults: Fault[] } {
  const faults: Fault[] = [];
  const events: DurableEvent[] = [];
  const say = (kind: Fault["kind"], detail: string): void =>
    void faults.push(fault(kind, conversation.name, detail));
  let cursor = 0;
  for (const [number, visit] of visits.entries()) {
    const where = `${name}, visit ${number + 1}`;
    const { resumed } = visit;
    if (visit.sessionId !== conversation.sessionId) {
      say("lost", `${where}: the session was not resumed: ${resumed?.reason ?? "another one came"}`);
      continue;
    }
    if (resumed !== undefined && (!resumed.recovered || resumed.from_seq !== visit.lastSeq + 1)) {
      say("lost", `${where}: resumed from ${visit.lastSeq} with ${JSON.stringify(resumed)}`);
    }
    const before: typeof visit.events = [];
    for (const event of visit.events) {
      const judged = step(event, cursor, { ...visit, events: before });
      before.push(event);
      if (judged === "known") continue;
      if (judged !== "news") {
        const wasSeen = events.some(({ seq }) => seq === event.seq);
        say(
          judged === "ahead" ? "lost" : wasSeen ? "doubled" : "reordered",
          `${where}: ${event.kind} ${event.key} has ${event.seq}, where ${cursor} was the newest`,
        );
      }
      if (judged !== "behind") events.push(event);
      cursor = Math.max(cursor, event.seq);
    }
  }
  return { events, faults };
}

/** Checks for 1, 2, 3 … without holes, up to the session's last number. */
function checkNumbers({ events, lastSeq, openTurns }: LoggedSession, say: Say): Fault[] {
  const faults = openTurns.map((turn) => say("hung", `the log: turn of ${turn} has no end`));
  events.forEach(({ seq }, index) => {
    if (seq !== index + 1) faults.push(say("lost", `the log: event ${index + 1} has ${seq}`));
  });
  if (events.length !== lastSeq) {
    faults.push(say("lost", `the log: ${events.length} events, where the session says ${lastSeq}`));
  }
  return faults;
}

/** Compares what a tab has seen with the log. */
function compare(
  tab: string,
  seen: readonly DurableEvent[],
  truth: readonly DurableEvent[],
  say: Say,
): Fault[] {
  const bySeq = new Map(truth.map((event) => [event.seq, event]));
  const faults = seen.flatMap((event) => {
    const right = bySeq.get(event.seq);
    if (right === undefined) {
      return [say("lost", `${tab}: saw ${event.seq}, ${sameness(event)}, which is not in the log`)];
    }
    const isSame = event.detail === undefined || event.detail === right.detail;
    if (sameness(event) === sameness(right) && isSame) return [];
    return [
      say("mismatched", `${tab}: ${event.seq} is ${sameness(event)}, and in the log ${sameness(right)}`),
    ];
  });
  const missing = truth.filter(({ seq }) => !seen.some((event) => event.seq === seq)).map(({ seq }) => seq);
  if (missing.length > 0) {
    faults.push(say("lost", `${tab}: never saw ${missing.join(", ")} of ${truth.length}`));
  }
  return faults;
}

function checkQueries(
  { queries, sessionId }: ConversationRecord,
  truth: readonly DurableEvent[],
  { model, stalls, boundMs }: RunRecord,
  say: Say,
): Fault[] {
  const faults: Fault[] = [];
  const known = new Set(queries.map(({ id }) => id));
  for (const event of truth) {
    if ((event.kind === "query" || isTerminal(event)) && !known.has(event.key)) {
      faults.push(say("foreign", `${event.seq} is of ${event.key}, which nobody asked in ${sessionId}`));
    }
  }
  for (const { id, question, sentAt, endedAt, refused } of queries) {
    const asked = truth.filter(({ kind, key }) => kind === "query" && key === id);
    const ends = truth.filter((event) => isTerminal(event) && event.key === id);
    if (asked.length > 1) faults.push(say("doubled", `${id} was taken ${asked.length} times`));
    if (ends.length > 1) {
      faults.push(say("doubled", `${id} ended ${ends.length} times: ${ends.map(sameness).join("; ")}`));
    }
    if (asked.length === 0 && ends.length > 0) faults.push(say("lost", `${id} ended, and was never taken`));
    if (ends.length === 0 && (asked.length > 0 || refused === undefined)) {
      faults.push(say("hung", `${id} has no end${asked.length === 0 ? ", and was never taken" : ""}`));
    } else if (endedAt !== undefined && endedAt - sentAt > boundMs) {
      faults.push(say("hung", `${id} took ${Math.round(endedAt - sentAt)} ms`));
    }
    // A worker that was stopped blames the model for the stall.
    const stood = stalls.some(({ from, to }) => sentAt < to + STALL_GRACE_MS && (endedAt ?? Infinity) > from);
    const faultsMet = [...model.faults[question] ?? [], ...(stood ? ["the worker stood still"] : [])];
    for (const end of ends) {
      const problem = judgeEnd(end, question, faultsMet);
      if (problem !== undefined) faults.push(say(problem.kind, `${id}: ${problem.detail}`));
    }
  }
  return faults;
}

function judgeEnd(
  { kind, text = "", code = "" }: DurableEvent,
  question: string,
  faultsMet: readonly string[],
): Pick<Fault, "kind" | "detail"> | undefined {
  if (kind === "response") {
    return answersTo(question).includes(text)
      ? undefined
      : { kind: "mismatched", detail: `the log has ${JSON.stringify(text.slice(0, 200))}` };
  }
  if (!isBeginning(text, question)) {
    return { kind: "mismatched", detail: `the log keeps ${JSON.stringify(text.slice(-80))}` };
  }
  if (kind !== "error" || OURS.includes(code)) return undefined;
  if (code.startsWith("model_") && faultsMet.length > 0) return undefined;
  return {
    kind: "unexplained",
    detail: `it failed with ${code}, and the model did: ${faultsMet.join(", ") || "nothing"}`,
  };
}

function checkTitle({ titles, isRenamed }: ConversationRecord, { title }: LoggedSession, say: Say): Fault[] {
  if (title === undefined) return isRenamed ? [say("lost", `the title, of ${titles.join(", ")}`)] : [];
  return titles.includes(title) ? [] : [say("foreign", `the title "${title}", which nobody gave it`)];
}

function checkNotices({ notices }: ConversationRecord, truth: readonly DurableEvent[], say: Say): Fault[] {
  const there = truth.filter(({ kind }) => kind === "notification").map(({ key }) => key);
  return [
    ...notices.filter((id) => !there.includes(id)).map((id) =>
      say("lost", `notification ${id} is not in the log`)
    ),
    ...there.filter((id, index) => there.indexOf(id) < index).map((id) =>
      say("doubled", `notification ${id}`)
    ),
  ];
}
