import assert from "node:assert/strict";
import { emptyReport } from "../../chaos/model_report.ts";
import type { DurableEvent } from "../../chaos/records.ts";
import { checkReplaced } from "../../chaos/replaced.ts";
import { questionOf } from "../../chaos/script.ts";

const one = { id: "c.q1", question: questionOf("c", 1), sentAt: 0 };
const two = { id: "c.q2", question: questionOf("c", 2), sentAt: 0, replaces: "c.q1" };
const log: DurableEvent[] = [
  { seq: 1, kind: "query", key: "c.q1" },
  { seq: 2, kind: "response", key: "c.q1", text: "!" },
  { seq: 3, kind: "rewound", key: "c.q2", text: "c.q1" },
  { seq: 4, kind: "query", key: "c.q2" },
];

function faults(truth: readonly DurableEvent[], ...afters: readonly number[][]): string[] {
  const streams = afters.map((after) => ({ question: two.question, after }));
  const model = { ...emptyReport(), streams };
  const conversation = {
    name: "c",
    sessionId: "s",
    tabs: [],
    queries: [one, two],
    notices: [],
    titles: [],
    isRenamed: false,
    decisions: [],
    clientResults: [],
  };
  return checkReplaced(
    conversation,
    truth,
    { model },
    (kind, detail) => ({ kind, detail, conversation: "c" }),
  )
    .map(({ detail }) => detail);
}

Deno.test("chaos: a replaced question is in the log once, directly before the new one, and no prompt has it", () => {
  assert.deepEqual(faults(log, []), []);
  assert.match(faults(log, [1]).join(), /given question 1, superseded/);
  assert.match(faults(log, [], [1]).join(), /given question 1, superseded/);
  assert.deepEqual(faults(log, [1], []), [], "an early call that was given up");
  assert.match(faults(log.filter(({ kind }) => kind !== "rewound"), []).join(), /c\.q2 \(4\) replaces c\.q1/);
  assert.match(
    faults(log.map((event) => event.text === "c.q1" ? { ...event, text: "x" } : event), []).join(),
    /c\.q2/,
  );
});
