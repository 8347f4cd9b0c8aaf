/**
 * Judges the tool calls of a run: the log, the rows that the tools have left, and what clients have sent must agree. Which row of the
 * verdict counts what is in README.md.
 */

import { equalJson } from "./json.ts";
import { isTerminal } from "./reading.ts";
import type { ConversationRecord, Fault, LoggedSession, RunRecord, Say } from "./records.ts";
import { type ScriptedCall, stepsOf } from "./tool_script.ts";
import type { ClientResultRecord, DecisionRecord, LoggedCall } from "./tool_records.ts";
import type { ToolRun } from "./tool_runs.ts";

/** The clocks of the database and of a worker may differ by the rounding. */
const ROUNDING_MS = 2;
const ALLOWED: readonly (string | undefined)[] = ["approve", "modify"];

/** The runs of calls that no log has, each as a line of text. */
export function checkRuns({ runs = [], logs }: Pick<RunRecord, "runs" | "logs">): string[] {
  if (logs === undefined) return [];
  const known = new Set([...logs.values()].flatMap(({ calls }) => calls.map(({ callId }) => callId)));
  return runs.filter(({ callId }) => !known.has(callId))
    .map(({ callId, tool, input }) =>
      `${tool} ${callId} ran with ${JSON.stringify(input)}, and is in no log`
    );
}

export function checkTools(
  conversation: ConversationRecord,
  { calls, events }: LoggedSession,
  run: Pick<RunRecord, "runs" | "model">,
  say: Say,
): Fault[] {
  const ended = new Set(events.filter(isTerminal).map(({ key }) => key));
  const answered = new Set(events.flatMap(({ kind, key }) => kind === "response" ? [key] : []));
  const { decisions, clientResults, queries, userId } = conversation;
  const runs = Map.groupBy(run.runs ?? [], ({ callId }) => callId);
  const faults = calls.flatMap((call) => {
    const of: OfCall = {
      call,
      hasEnded: ended.has(call.queryId),
      isAnswered: answered.has(call.queryId),
      runs: runs.get(call.callId) ?? [],
      decisions: decisions.filter(({ callId }) => callId === call.callId),
      clientResults: clientResults.filter(({ callId }) => callId === call.callId),
      userId,
    };
    const where = `${call.queryId}: ${call.name} ${call.callId}`;
    const note: Say = (kind, detail) => say(kind, `${where} ${detail}`);
    return [...checkCallRuns(of, note), ...checkDecisions(of, note), ...checkResults(of, note)];
  });
  const known = new Set(calls.map(({ callId }) => callId));
  for (const { callId, answer, by } of decisions) {
    if (!known.has(callId) && answer === "received") {
      faults.push(say("decisions", `a decision of ${by} about ${callId} was taken, which is no call`));
    }
  }
  for (const { id, question } of queries) {
    const ofQuery = calls.filter(({ queryId }) => queryId === id);
    faults.push(...checkSteps(ofQuery, { id, question, isAnswered: answered.has(id) }, say));
    faults.push(...checkTold(ofQuery, question, run, say));
  }
  return faults;
}

interface OfCall {
  call: LoggedCall;
  /** Whether its turn has ended, and with a response. */
  hasEnded: boolean;
  isAnswered: boolean;
  runs: readonly ToolRun[];
  decisions: readonly DecisionRecord[];
  clientResults: readonly ClientResultRecord[];
  userId: string | undefined;
}

function checkCallRuns({ call, runs, userId }: OfCall, say: Say): Fault[] {
  const faults: Fault[] = [];
  const [decision] = call.decisions;
  const [start] = call.starts;
  if (!call.isIdempotent && runs.length > 1) faults.push(say("ran_twice", `ran ${runs.length} times`));
  if (runs.length > 0 && start === undefined) {
    faults.push(say("unlogged", "ran, and was not started in the log"));
  }
  const isAllowed = decision !== undefined && ALLOWED.includes(decision.verdict) &&
    (start === undefined || decision.seq < start);
  if (call.needs === "approval" && !isAllowed && (runs.length > 0 || start !== undefined)) {
    faults.push(
      say(
        "unapproved",
        `${runs.length > 0 ? "ran" : "was started"} with ${decision?.verdict ?? "no decision"}`,
      ),
    );
  }
  const input = decision?.verdict === "modify" ? decision.input : call.input;
  for (const run of runs) {
    if (!equalJson(run.input, input)) faults.push(say("mismatched", `ran with ${JSON.stringify(run.input)}`));
    if (run.idempotencyKey !== call.callId) faults.push(say("mismatched", `ran as ${run.idempotencyKey}`));
    if (run.userId !== undefined && run.userId !== userId) {
      faults.push(say("foreign", `ran as ${run.userId}`));
    }
  }
  return faults;
}

function checkDecisions({ call, decisions }: OfCall, say: Say): Fault[] {
  const faults: Fault[] = [];
  const [logged, ...more] = call.decisions;
  if (more.length > 0) faults.push(say("decisions", `was decided ${more.length + 1} times`));
  for (const { id, verdict, by, answer } of decisions) {
    const isLogged = logged?.id === id;
    if (answer === "received" && !isLogged) {
      faults.push(
        say("decisions", `${verdict} of ${by} was taken, and the log has ${logged?.verdict ?? "none"}`),
      );
    }
    if (by === "stranger" && isLogged) faults.push(say("decisions", `was decided by a stranger: ${verdict}`));
  }
  if (logged === undefined) return faults;
  if (logged.verdict === "expired") {
    const early = call.expiresAt - logged.at;
    if (early > ROUNDING_MS) faults.push(say("decisions", `expired ${Math.round(early)} ms too early`));
    return faults;
  }
  const sent = decisions.find(({ id }) => id === logged.id);
  if (sent === undefined) return [...faults, say("decisions", `was decided by nobody: ${logged.verdict}`)];
  const isSame = sent.verdict === logged.verdict && sent.comment === logged.comment &&
    (sent.verdict !== "modify" || equalJson(sent.input, logged.input));
  if (!isSame) faults.push(say("decisions", `the log has another decision: ${JSON.stringify(logged)}`));
  return faults;
}

function checkResults({ call, runs, clientResults, isAnswered, hasEnded }: OfCall, say: Say): Fault[] {
  const faults: Fault[] = [];
  const [result, ...more] = call.results;
  const [decision] = call.decisions;
  const isDenied = decision !== undefined && !ALLOWED.includes(decision.verdict);
  if (more.length > 0) faults.push(say("results", `has ${more.length + 1} results`));
  if (hasEnded && call.starts.length > 0 && result === undefined) {
    faults.push(say("results", "was started, and has no result in a turn that has ended"));
  }
  if (isAnswered && (result === undefined) !== isDenied) {
    faults.push(
      say("unsettled", isDenied ? "was denied and has a result" : "has no end in an answered turn"),
    );
  }
  const isOk = result?.outcome === "ok";
  if (call.needs === "client") {
    const isLogged = ({ words }: ClientResultRecord): boolean => result?.output.includes(words) === true;
    if (isOk && !clientResults.some(isLogged)) {
      faults.push(say("results", `has a result that no client has sent: ${result.output}`));
    }
    for (const sent of clientResults) {
      if (sent.answer !== "received" || isLogged(sent)) continue;
      faults.push(
        say("results", `a client's result was taken: ${sent.words}, and the log has ${result?.output}`),
      );
    }
  } else if (isOk && !runs.some(({ runId }) => result.output.includes(runId))) {
    faults.push(say("results", `has the result of no run: ${result.output}`));
  }
  if (isAnswered && result?.outcome === "unknown" && call.isIdempotent) {
    faults.push(say("results", "may run again, and its result is unknown"));
  }
  return faults;
}

/** The log has the steps that the model has taken, from the first one on; all of them where it has answered. */
function checkSteps(
  calls: readonly LoggedCall[],
  { id, question, isAnswered }: { id: string; question: string; isAnswered: boolean },
  say: Say,
): Fault[] {
  const script = stepsOf(question);
  const steps = [...Map.groupBy(calls, ({ step }) => step)];
  const faults: Fault[] = [];
  for (const [index, [number, logged]] of steps.entries()) {
    const scripted = script[index]?.calls ?? [];
    const isRight = number === index + 1 && scripted.length === logged.length &&
      scripted.every((right, place) => isScripted(right, logged[place]));
    if (!isRight) faults.push(say("mismatched", `${id}: step ${number} has ${JSON.stringify(logged)}`));
  }
  if (isAnswered && steps.length !== script.length) {
    faults.push(say("unsettled", `${id} is answered after ${steps.length} of ${script.length} steps`));
  }
  return faults;
}

function isScripted({ name, input, needs }: ScriptedCall, logged: LoggedCall | undefined): boolean {
  if (logged === undefined) return false;
  const isRefused = logged.results[0]?.outcome === "error" && logged.starts.length === 0;
  const needed = needs === "refused" ? isRefused && logged.needs === "nothing" : logged.needs === needs;
  return logged.name === name && equalJson(logged.input, input) && needed;
}

/** The model is told what the log has. */
function checkTold(
  calls: readonly LoggedCall[],
  question: string,
  { model }: Pick<RunRecord, "model">,
  say: Say,
): Fault[] {
  return model.told.filter((one) => one.question === question).flatMap(({ results }) =>
    results.flatMap((told, place) => {
      const call = calls[place];
      return call !== undefined && isTold(told, call)
        ? []
        : [say("results", `the model was told ${told} of ${call?.callId}`)];
    })
  );
}

function isTold(told: string, { results: [result], decisions: [decision] }: LoggedCall): boolean {
  if (result !== undefined) return told.endsWith(result.output);
  const comment = decision?.comment === undefined ? "" : JSON.stringify(decision.comment);
  return decision !== undefined && told.startsWith("The call did not run:") && told.includes(comment);
}
