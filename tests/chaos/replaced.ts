/** Checks the questions that have taken the place of earlier ones: the log says so once, and the model is not given what is superseded. */

import { sameness } from "./reading.ts";
import type { ConversationRecord, DurableEvent, Fault, RunRecord } from "./records.ts";
import { numberOf } from "./script.ts";

export function checkReplaced(
  { queries }: ConversationRecord,
  truth: readonly DurableEvent[],
  { model }: Pick<RunRecord, "model">,
  say: (kind: Fault["kind"], detail: string) => Fault,
): Fault[] {
  const faults: Fault[] = [];
  const seqOf = new Map(truth.flatMap(({ kind, key, seq }) => kind === "query" ? [[key, seq]] : []));
  const rewound = truth.filter(({ kind }) => kind === "rewound");
  for (const { id, replaces } of queries) {
    const seq = seqOf.get(id);
    const own = rewound.filter(({ key }) => key === id);
    const isRight = seq === undefined || replaces === undefined
      ? own.length === 0
      : own.length === 1 && own[0]?.seq === seq - 1 && own[0].text === replaces;
    if (!isRight) {
      faults.push(say("mismatched", `${id} (${seq}) replaces ${replaces}: ${own.map(sameness).join("; ")}`));
    }
  }
  const byNumber = new Map(queries.map((query) => [numberOf(query.question), query.id]));
  const numbers = new Map(queries.map((query) => [query.question, query.id]));
  // An early call is given up if the conversation turns out to have changed before its question, which is then asked again.
  const last = new Map(model.streams.map(({ question, after }) => [question, after]));
  for (const [question, after] of last) {
    const askedAt = seqOf.get(numbers.get(question) ?? "");
    if (askedAt === undefined) continue;
    const ranges = rewound.filter(({ seq }) => seq < askedAt)
      .map(({ seq, text = "" }) => ({ from: seqOf.get(text) ?? Infinity, to: seq }));
    for (const number of after) {
      const seq = seqOf.get(byNumber.get(number) ?? "");
      if (seq === undefined || !ranges.some(({ from, to }) => seq >= from && seq < to)) continue;
      faults.push(say("mismatched", `the model was given question ${number}, superseded, with: ${question}`));
    }
  }
  return faults;
}
