import assert from "node:assert/strict";
import { unexplainedCalls } from "../../chaos/model_calls.ts";
import { emptyReport } from "../../chaos/model_report.ts";
import type { LoggedSession } from "../../chaos/records.ts";

const QUERY = { id: "q1", question: "why?", sentAt: 100 };

function record(
  { requests, faults = 0, takeOvers = 0, isOpen = false, prompts = [] }: {
    requests: number;
    faults?: number;
    takeOvers?: number;
    isOpen?: boolean;
    prompts?: number[][];
  },
): Parameters<typeof unexplainedCalls>[0] {
  const log: LoggedSession = {
    lastSeq: 0,
    events: [],
    openTurns: [],
    takeOvers,
    calls: [],
    takeOversOf: new Map([["q1", takeOvers]]),
  };
  return {
    conversations: [{
      name: "c",
      sessionId: "s",
      tabs: [],
      queries: [isOpen ? QUERY : { ...QUERY, endedAt: 200 }],
      notices: [],
      titles: [],
      isRenamed: false,
      decisions: [],
      clientResults: [],
    }],
    model: {
      ...emptyReport(),
      requests: { "why?": requests },
      streams: prompts.map((after) => ({ question: "why?", after })),
      faults: { "why?": Array.from({ length: faults }, () => "cut") },
    },
    logs: new Map([["s", log]]),
  };
}

Deno.test("unexplainedCalls: one call a turn, one more for each failure, three for each take-over", () => {
  assert.deepEqual(unexplainedCalls(record({ requests: 1 }), []), []);
  assert.deepEqual(unexplainedCalls(record({ requests: 5, faults: 1, takeOvers: 1 }), []), []);
  assert.deepEqual(unexplainedCalls(record({ requests: 2 }), []), [
    "q1 of s: 2 calls, 0 failures, 0 take-overs",
  ]);
});

Deno.test("unexplainedCalls: a trouble while the query was open explains what came beyond", () => {
  const twice = record({ requests: 2 });
  assert.deepEqual(unexplainedCalls(twice, [{ from: 150, to: 150 }]), []);
  assert.equal(unexplainedCalls(twice, [{ from: 0, to: 99 }, { from: 201, to: 300 }]).length, 1);
  assert.deepEqual(
    unexplainedCalls(record({ requests: 2, isOpen: true }), [{ from: 900, to: 901 }]),
    [],
  );
});

Deno.test("unexplainedCalls: questions of two tabs at the same moment explain it too, later ones do not", () => {
  const twice = record({ requests: 2 });
  const [conversation] = twice.conversations;
  conversation?.queries.push({ id: "q2", question: "and?", sentAt: 400 });
  assert.deepEqual(unexplainedCalls(twice, []), []);
  conversation?.queries.splice(1, 1, { id: "q2", question: "and?", sentAt: 700 });
  assert.equal(unexplainedCalls(twice, []).length, 1);
});

Deno.test("unexplainedCalls: another prompt explains one more call, the same prompt again does not", () => {
  const count = (prompts: number[][]): number =>
    unexplainedCalls(record({ requests: prompts.length, prompts }), []).length;
  assert.equal(count([[1], [1, 2]]), 0);
  assert.equal(count([[1, 2], [1, 2]]), 1);
  assert.equal(count([[1], [1, 2], [1, 2]]), 1);
});

Deno.test("unexplainedCalls: whether the query was sent again is said", () => {
  const twice = record({ requests: 2 });
  const visit = { at: 0, lastSeq: 0, sessionId: "s", events: [], resent: new Set(["q1"]) };
  twice.conversations[0]?.tabs.push({ name: "t", visits: [visit], faults: [] });
  assert.deepEqual(unexplainedCalls(twice, []), [
    "q1 of s: 2 calls, 0 failures, 0 take-overs, sent again",
  ]);
});
