/**
 * The checker of the chaos run, tested with records of every kind of fault: a fault that it does not see would make the
 * run worthless.
 */

import assert from "node:assert/strict";
import { check } from "../../chaos/checker.ts";
import { emptyReport } from "../../chaos/model_report.ts";
import type {
  DurableEvent,
  Fault,
  LoggedSession,
  RunRecord,
  SeenEvent,
  TabRecord,
  Visit,
} from "../../chaos/records.ts";
import { answerTo, questionOf } from "../../chaos/script.ts";

const QUESTION = questionOf("c1.s1", 1);
const ANSWER = answerTo(QUESTION);
const LOG: readonly DurableEvent[] = [
  { seq: 1, kind: "query", key: "q1", text: QUESTION },
  { seq: 2, kind: "notification", key: "n1", text: "hello" },
  { seq: 3, kind: "response", key: "q1", text: ANSWER },
];
const ASKED: readonly SeenEvent[] = [{ seq: 1, kind: "query", key: "q1", isAck: true }, ...LOG.slice(1)];

interface Case {
  log?: readonly DurableEvent[];
  session?: Partial<LoggedSession>;
  visits?: readonly Visit[];
  run?: Partial<RunRecord>;
  hasDatabase?: boolean;
  endedAt?: number;
}

function visit(lastSeq: number, events: readonly SeenEvent[], fields: Partial<Visit> = {}): Visit {
  const resumed = { recovered: true, from_seq: lastSeq + 1, to_seq: 3 };
  return {
    at: 0,
    lastSeq,
    sessionId: "s1",
    events: [...events],
    resent: new Set(),
    ...(lastSeq > 0 && { resumed }),
    ...fields,
  };
}

/** A run with one conversation, with no faults except those of the test case. */
function judge(
  { log = LOG, session = {}, visits = [visit(0, ASKED)], run = {}, hasDatabase = true, endedAt = 100 }: Case,
): Fault[] {
  const asker: TabRecord = { name: "t1", visits: [...visits], faults: [] };
  const watcher: TabRecord = { name: "t2", visits: [visit(0, log)], faults: [] };
  const logged = {
    lastSeq: log.length,
    events: [...log],
    openTurns: [],
    takeOvers: 0,
    calls: [],
    ...session,
  };
  return check({
    conversations: [{
      name: "c1.s1",
      sessionId: "s1",
      tabs: [asker, watcher],
      queries: [{ id: "q1", question: QUESTION, sentAt: 0, endedAt }],
      notices: ["n1"],
      titles: [],
      isRenamed: false,
      decisions: [],
      clientResults: [],
    }],
    attacks: [],
    model: emptyReport(),
    ...(hasDatabase && { logs: new Map([["s1", logged]]) }),
    stalls: [],
    boundMs: 1000,
    ...run,
  });
}

function kinds(one: Case): string[] {
  return [...new Set(judge(one).map(({ kind }) => kind))].sort();
}

/** The log with its third event replaced. */
function ending(...events: Omit<DurableEvent, "seq">[]): DurableEvent[] {
  return [...LOG.slice(0, 2), ...events.map((event, index) => ({ ...event, seq: index + 3 }))];
}

function withLog(log: readonly DurableEvent[], more: Case = {}): Case {
  return { log, visits: [visit(0, log)], ...more };
}

Deno.test("checker: a run in which all is well has no faults", () => {
  assert.deepEqual(judge({}), []);
  const [first, second, third] = ASKED as [SeenEvent, SeenEvent, SeenEvent];
  assert.deepEqual(judge({ visits: [visit(0, [first]), visit(1, [second]), visit(2, [third])] }), []);
  assert.deepEqual(judge({ hasDatabase: false }), []);
});

Deno.test("checker: an id sent again may be acknowledged again, and answered with its end again", () => {
  const resent = new Set(["q1"]);
  const again: SeenEvent[] = [
    { seq: 1, kind: "query", key: "q1", isAck: true },
    { ...LOG[0] as DurableEvent },
    ...LOG.slice(1),
    { ...LOG[2] as DurableEvent, isReplay: true },
    { seq: 1, kind: "query", key: "q1", isAck: true },
  ];
  assert.deepEqual(judge({ visits: [visit(0, again, { resent })] }), []);
  assert.deepEqual(kinds({ visits: [visit(0, again)] }), ["doubled"]);
});

Deno.test("checker: an event that a client never saw is lost", () => {
  assert.deepEqual(kinds({ visits: [visit(0, ASKED.slice(0, 2))] }), ["lost"]);
  assert.deepEqual(kinds({ visits: [visit(0, ASKED.filter(({ seq }) => seq !== 2))] }), ["lost"]);
  assert.deepEqual(kinds({ visits: [] }), ["lost"]);
});

Deno.test("checker: an event that was shown and is not in the log is lost", () => {
  const more: SeenEvent[] = [...ASKED, { seq: 4, kind: "cleared", key: "" }];
  assert.deepEqual(kinds({ visits: [visit(0, more)] }), ["lost"]);
  assert.deepEqual(kinds({ run: { logs: new Map() } }), ["lost"]);
});

Deno.test("checker: an event that is shown twice is doubled, on one connection or on two", () => {
  const [, second, third] = ASKED as [SeenEvent, SeenEvent, SeenEvent];
  assert.deepEqual(kinds({ visits: [visit(0, [...ASKED, third])] }), ["doubled"]);
  assert.deepEqual(kinds({ visits: [visit(0, ASKED.slice(0, 2)), visit(2, [second, third])] }), ["doubled"]);
});

Deno.test("checker: a live event that overtakes the replay is found", () => {
  const [first, second, third] = ASKED as [SeenEvent, SeenEvent, SeenEvent];
  assert.deepEqual(kinds({ visits: [visit(0, [first, third, second])] }), ["lost", "reordered"]);
});

Deno.test("checker: an acknowledgement that overtakes the replay is found, also of a query that was sent again", () => {
  const [first, second, third] = ASKED as [SeenEvent, SeenEvent, SeenEvent];
  const early = { seq: 3, kind: "query", key: "q2", isAck: true } as SeenEvent;
  const overtaking = visit(0, [early, first, second, third], { resent: new Set(["q2"]) });
  assert.ok(kinds({ visits: [overtaking] }).includes("lost"));
});

Deno.test("checker: a session that is not resumed is lost", () => {
  const strange = { recovered: false, from_seq: 1, to_seq: 0, reason: "unknown_session" };
  const resumed = visit(1, ASKED.slice(1));
  const other = visit(1, [], { sessionId: "s2", resumed: strange });
  assert.deepEqual(kinds({ visits: [visit(0, ASKED.slice(0, 1)), other, resumed] }), ["lost"]);
  const gap = visit(1, ASKED.slice(1), {
    resumed: { recovered: false, from_seq: 2, to_seq: 3, reason: "gap" },
  });
  assert.deepEqual(kinds({ visits: [visit(0, ASKED.slice(0, 1)), gap] }), ["lost"]);
  const late = visit(1, ASKED.slice(1), { resumed: { recovered: true, from_seq: 3, to_seq: 3 } });
  assert.deepEqual(kinds({ visits: [visit(0, ASKED.slice(0, 1)), late] }), ["lost"]);
});

Deno.test("checker: holes in the log, and a wrong count of it", () => {
  const log = [LOG[0], LOG[1], { ...LOG[2], seq: 4 }] as DurableEvent[];
  assert.deepEqual(kinds(withLog(log)), ["lost"]);
  assert.deepEqual(kinds({ session: { lastSeq: 5 } }), ["lost"]);
});

Deno.test("checker: a query that is taken or ended twice is doubled", () => {
  const twice = { kind: "response", key: "q1", text: ANSWER } as const;
  assert.deepEqual(kinds(withLog(ending(twice, twice))), ["doubled"]);
  assert.deepEqual(kinds(withLog(ending(twice, { kind: "query", key: "q1" }))), ["doubled"]);
  assert.deepEqual(kinds(withLog([...LOG, { seq: 4, kind: "notification", key: "n1", text: "hello" }])), [
    "doubled",
  ]);
});

Deno.test("checker: no end, a late end and a turn left open are hung", () => {
  assert.deepEqual(kinds(withLog(LOG.slice(0, 2))), ["hung"]);
  assert.deepEqual(kinds({ endedAt: 5000 }), ["hung"]);
  assert.deepEqual(kinds({ session: { openTurns: ["q1 (running)"] } }), ["hung"]);
});

Deno.test("checker: an end without its query, and a notification that was taken and is not there, are lost", () => {
  const log = LOG.slice(1).map((event, index) => ({ ...event, seq: index + 1 }));
  assert.deepEqual(kinds(withLog(log)), ["lost"]);
  const without = [LOG[0], { ...LOG[2], seq: 2 }] as DurableEvent[];
  assert.deepEqual(kinds(withLog(without)), ["lost"]);
});

Deno.test("checker: an answer that is not the question's is mismatched, and so is what two tabs saw differently", () => {
  assert.deepEqual(kinds(withLog(ending({ kind: "response", key: "q1", text: `${ANSWER}.` }))), [
    "mismatched",
  ]);
  assert.deepEqual(kinds(withLog(ending({ kind: "cancelled", key: "q1", text: "x" }))), ["mismatched"]);
  assert.deepEqual(judge(withLog(ending({ kind: "cancelled", key: "q1", text: ANSWER.slice(0, 9) }))), []);
  const other = [...ASKED.slice(0, 2), { ...ASKED[2], text: "another" } as SeenEvent];
  assert.deepEqual(kinds({ visits: [visit(0, other)] }), ["mismatched"]);
});

Deno.test("checker: a failure needs a fault of the model's, or is one of ours that are told apart", () => {
  const failed = withLog(ending({ kind: "error", key: "q1", code: "model_timeout", text: "" }));
  assert.deepEqual(kinds(failed), ["unexplained"]);
  const faulty = { ...emptyReport(), faults: { [QUESTION]: ["stall"] } };
  assert.deepEqual(judge({ ...failed, run: { model: faulty } }), []);
  assert.deepEqual(judge({ ...failed, run: { stalls: [{ from: 50, to: 90 }] } }), []);
  assert.deepEqual(kinds({ ...failed, run: { stalls: [{ from: 500, to: 900 }] } }), ["unexplained"]);
  assert.deepEqual(judge(withLog(ending({ kind: "error", key: "q1", code: "interrupted", text: "" }))), []);
  assert.deepEqual(kinds(withLog(ending({ kind: "error", key: "q1", code: "internal", text: "" }))), [
    "unexplained",
  ]);
});

Deno.test("checker: another's session, another's query and another's history are foreign", () => {
  const attack = { target: "s1", how: "no token" };
  const opened = [{ ...attack, reason: undefined, sessionId: "s1" }, {
    ...attack,
    reason: "gap",
    sessionId: "s2",
  }];
  assert.equal(judge({ run: { attacks: opened } }).length, 2);
  assert.deepEqual(
    judge({ run: { attacks: [{ ...attack, reason: "unknown_session", sessionId: "s2" }] } }),
    [],
  );
  assert.deepEqual(kinds(withLog([...LOG, { seq: 4, kind: "query", key: "q9" }])), ["foreign"]);
  const problems = ["foreign: [c1.s1] 1 comes with [c2.s1] 1", "mismatched: a wrong beginning"];
  assert.deepEqual(kinds({ run: { model: { ...emptyReport(), problems } } }), [
    "foreign",
    "mismatched",
  ]);
});

Deno.test("checker: what a client found on the spot is told too", () => {
  const found: Fault = { kind: "mismatched", conversation: "c1.s1", detail: "t1: a delta after a hole" };
  const tab = { name: "t1", visits: [visit(0, ASKED)], faults: [found] };
  const faults = check({
    conversations: [{
      name: "c1.s1",
      sessionId: "s1",
      tabs: [tab],
      queries: [],
      notices: [],
      titles: [],
      isRenamed: false,
      decisions: [],
      clientResults: [],
    }],
    attacks: [],
    model: emptyReport(),
    stalls: [],
    boundMs: 1,
  });
  assert.ok(faults.includes(found));
});
