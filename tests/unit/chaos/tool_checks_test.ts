/** The checker of tool calls, tested with records of every kind of fault. */

import assert from "node:assert/strict";
import { emptyReport } from "../../chaos/model_report.ts";
import type { ConversationRecord, Fault, LoggedSession, RunRecord } from "../../chaos/records.ts";
import { questionOf } from "../../chaos/script.ts";
import { checkRuns, checkTools } from "../../chaos/tool_checks.ts";
import type { DecisionRecord, LoggedCall, LoggedDecision } from "../../chaos/tool_records.ts";
import type { ToolRun } from "../../chaos/tool_runs.ts";
import { type ScriptedCall, type ScriptedNeeds, stepsOf } from "../../chaos/tool_script.ts";

/** A question with one call, of this tool and with these needs. */
function scripted(name: string, needs: ScriptedNeeds): { question: string; call: ScriptedCall } {
  for (let number = 1; number < 100_000; number++) {
    const question = questionOf("c1.s1", number, { usesTools: true });
    const [step, ...more] = stepsOf(question);
    const [call, ...others] = step?.calls ?? [];
    if (more.length > 0 || others.length > 0 || call === undefined) continue;
    if (call.name === name && call.needs === needs) return { question, call };
  }
  return assert.fail(`no question calls ${name}`);
}

const APPROVED: LoggedDecision = { seq: 4, id: "d1", verdict: "approve", at: 0 };
const RESULT = { seq: 6, outcome: "ok", output: '{"data":{"run":"r1"}}' };

interface Case {
  name?: string;
  needs?: ScriptedNeeds;
  call?: Partial<LoggedCall>;
  runs?: Partial<ToolRun>[];
  decisions?: Partial<DecisionRecord>[];
  results?: ConversationRecord["clientResults"];
  told?: string[];
  end?: "response" | "cancelled";
  userId?: string;
}

/** The kinds of faults of one call that was started, has run and has its result, with what the test case changes. */
function kinds(
  { name = "book", needs = "nothing", call = {}, runs, decisions = [], results = [], ...more }: Case = {},
): string[] {
  const { question, call: { input } } = scripted(name, needs);
  const { told, end = "response", userId } = more;
  const logged: LoggedCall = {
    callId: "k1",
    queryId: "q1",
    step: 1,
    seq: 2,
    name,
    input,
    needs,
    isIdempotent: name === "mark",
    expiresAt: 1000,
    decisions: [],
    starts: [5],
    results: [RESULT],
    ...call,
  };
  const run: ToolRun = { callId: "k1", idempotencyKey: "k1", runId: "r1", tool: name, input };
  const decision: DecisionRecord = { id: "d1", callId: "k1", verdict: "approve", by: "client" };
  const record: ConversationRecord = {
    name: "c1.s1",
    sessionId: "s1",
    tabs: [],
    queries: [{ id: "q1", question, sentAt: 0 }],
    notices: [],
    titles: [],
    isRenamed: false,
    decisions: decisions.map((changed) => ({ ...decision, ...changed })),
    clientResults: results,
    ...(userId !== undefined && { userId }),
  };
  const events = [{ seq: 7, kind: end, key: "q1" }];
  const log: LoggedSession = { lastSeq: 7, events, openTurns: [], takeOvers: 0, calls: [logged] };
  const report = { ...emptyReport(), ...(told !== undefined && { told: [{ question, results: told }] }) };
  const judged: Pick<RunRecord, "runs" | "model"> = {
    runs: (runs ?? [{}]).map((changed) => ({ ...run, ...changed })),
    model: report,
  };
  const say = (kind: Fault["kind"], detail: string): Fault => ({ kind, conversation: "c1.s1", detail });
  return [...new Set(checkTools(record, log, judged, say).map(({ kind }) => kind))].sort();
}

/** A call that waits for approval. */
function decided(change: Case): string[] {
  const call = { decisions: [APPROVED], ...change.call };
  return kinds({ name: "pay", needs: "approval", decisions: [{}], ...change, call });
}

const TWICE = [{}, { runId: "r2" }];

Deno.test("checkTools: a call that ran once and has its result has no faults, approved or not", () => {
  assert.deepEqual(kinds(), []);
  assert.deepEqual(decided({}), []);
  assert.deepEqual(kinds({ told: [RESULT.output] }), []);
});

Deno.test("checkTools: a call that ran twice, unless it may", () => {
  assert.deepEqual(kinds({ runs: TWICE }), ["ran_twice"]);
  assert.deepEqual(kinds({ name: "mark", runs: TWICE }), []);
});

Deno.test("checkTools: a run that the log does not announce", () => {
  assert.deepEqual(kinds({ call: { starts: [] } }), ["unlogged"]);
  const run: ToolRun = { callId: "k9", idempotencyKey: "k9", runId: "r1", tool: "book", input: {} };
  assert.equal(checkRuns({ runs: [run], logs: new Map() }).length, 1);
});

Deno.test("checkTools: a run with other input, with another key, or as another user", () => {
  assert.deepEqual(kinds({ runs: [{ input: {} }] }), ["mismatched"]);
  assert.deepEqual(kinds({ runs: [{ idempotencyKey: "k2" }] }), ["mismatched"]);
  assert.deepEqual(kinds({ runs: [{ userId: "ann" }], userId: "ann" }), []);
  assert.deepEqual(kinds({ runs: [{ userId: "ann" }], userId: "bob" }), ["foreign"]);
  assert.deepEqual(kinds({ runs: [{ userId: "ann" }] }), ["foreign"]);
});

Deno.test("checkTools: a run without an approval before it", () => {
  assert.ok(decided({ call: { decisions: [] }, decisions: [] }).includes("unapproved"));
  assert.ok(decided({ call: { decisions: [{ ...APPROVED, seq: 6 }] } }).includes("unapproved"));
  const rejected = { ...APPROVED, verdict: "reject" };
  assert.ok(
    decided({ call: { decisions: [rejected] }, decisions: [{ verdict: "reject" }] }).includes("unapproved"),
  );
  const started = decided({ call: { decisions: [rejected] }, decisions: [{ verdict: "reject" }], runs: [] });
  assert.ok(started.includes("unapproved"), "and one that was only started");
});

Deno.test("checkTools: an approval that is decided twice, lost, or not what was sent", () => {
  assert.deepEqual(decided({ call: { decisions: [APPROVED, { ...APPROVED, seq: 5 }] } }), ["decisions"]);
  assert.deepEqual(decided({ decisions: [{}, { id: "d2", answer: "received" }] }), ["decisions"]);
  assert.deepEqual(decided({ decisions: [{}, { id: "d2", answer: "already_decided" }] }), []);
  assert.deepEqual(decided({ decisions: [] }), ["decisions"], "nobody has decided");
  assert.deepEqual(decided({ decisions: [{ by: "stranger" }] }), ["decisions"]);
  assert.deepEqual(decided({ decisions: [{ comment: "yes" }] }), ["decisions"]);
  assert.deepEqual(decided({ decisions: [{}, { id: "d2", callId: "k9", answer: "received" }] }), [
    "decisions",
  ]);
  const edited = { ...APPROVED, verdict: "modify", input: { amount: 2 } };
  const runs = [{ input: { amount: 2 } }];
  const modify = { verdict: "modify", input: { amount: 2 } } as const;
  assert.deepEqual(decided({ call: { decisions: [edited] }, decisions: [modify], runs }), []);
  const other = { ...modify, input: { amount: 3 } };
  assert.deepEqual(decided({ call: { decisions: [edited] }, decisions: [other], runs }), ["decisions"]);
});

Deno.test("checkTools: an approval expires at its time, not before", () => {
  const expired = (at: number): string[] => {
    const decisions = [{ seq: 4, id: "expired", verdict: "expired", at }];
    return decided({ call: { decisions, starts: [], results: [] }, decisions: [], runs: [] });
  };
  assert.deepEqual(expired(1000), []);
  assert.deepEqual(expired(900), ["decisions"]);
});

Deno.test("checkTools: a result that is lost, doubled, or of no run", () => {
  assert.deepEqual(kinds({ call: { results: [RESULT, { ...RESULT, seq: 7 }] } }), ["results"]);
  assert.deepEqual(kinds({ call: { results: [] } }), ["results", "unsettled"]);
  assert.deepEqual(kinds({ call: { results: [] }, end: "cancelled" }), ["results"]);
  assert.deepEqual(kinds({ call: { results: [], starts: [] }, runs: [], end: "cancelled" }), []);
  assert.deepEqual(kinds({ runs: [] }), ["results"]);
  assert.deepEqual(kinds({ runs: [{ runId: "r3" }] }), ["results"]);
  const unknown = { ...RESULT, outcome: "unknown" };
  assert.deepEqual(kinds({ call: { results: [unknown] } }), []);
  assert.deepEqual(kinds({ name: "mark", call: { results: [unknown] } }), ["results"]);
});

Deno.test("checkTools: a client's result is the one that the log has", () => {
  const ofClient = (results: Case["results"]): string[] =>
    kinds({ name: "pick", needs: "client", call: { starts: [] }, runs: [], ...(results && { results }) });
  const sent = { id: "c1", callId: "k1", words: "r1", answer: "received" };
  assert.deepEqual(ofClient([sent]), []);
  assert.deepEqual(ofClient([]), ["results"]);
  assert.deepEqual(ofClient([sent, { ...sent, id: "c2", words: "other" }]), ["results"]);
  assert.deepEqual(ofClient([sent, { ...sent, id: "c2", words: "other", answer: "already_decided" }]), []);
});

Deno.test("checkTools: what the model was told is what the log has", () => {
  assert.deepEqual(kinds({ told: ["another"] }), ["results"]);
  assert.deepEqual(kinds({ told: [RESULT.output, RESULT.output] }), ["results"]);
  const rejected = { ...APPROVED, verdict: "reject", comment: "too much" };
  const denied = (told: string): string[] =>
    decided({
      call: { decisions: [rejected], starts: [], results: [] },
      decisions: [{ verdict: "reject", comment: "too much" }],
      runs: [],
      told: [told],
    });
  assert.deepEqual(denied('The call did not run: the user does not allow it. "too much"'), []);
  assert.deepEqual(denied("The call did not run: the user does not allow it."), ["results"]);
});

Deno.test("checkTools: a call without an end in an answered turn, and steps that the model has not taken", () => {
  const denied = { ...APPROVED, verdict: "reject" };
  const both = decided({
    call: { decisions: [denied], starts: [] },
    decisions: [{ verdict: "reject" }],
    runs: [],
  });
  assert.ok(both.includes("unsettled"), "denied, and it has a result");
  assert.ok(kinds({ call: { step: 2 } }).includes("mismatched"));
  assert.ok(kinds({ call: { name: "slow" } }).includes("mismatched"));
  assert.ok(
    kinds({ call: { needs: "approval", decisions: [APPROVED] }, decisions: [{}] }).includes("mismatched"),
  );
  assert.ok(kinds({ call: { queryId: "q2" } }).includes("unsettled"), "answered without its step");
});
