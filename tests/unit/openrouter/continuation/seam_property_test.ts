/** Random answers, cut anywhere, continued by models that obey or not, in pieces of any size. */

import assert from "node:assert/strict";
import fc from "fast-check";
import { isNewSentence } from "../../../../supabase/functions/_shared/openrouter/continuation/transitions.ts";
import {
  normalize,
  NormalText,
} from "../../../../supabase/functions/_shared/openrouter/continuation/normal_text.ts";
import { BEHAVIOUR_NAMES, type BehaviourName } from "../../../support/continuing_models.ts";
import { runContinuation } from "../../../support/continuing_run.ts";

const RUNS = 10_000;

const WORDS = [
  "wave",
  "Tide",
  "naïve",
  "e\u0301tude",
  "“quoted”",
  "it's",
  "it’s",
  "5 %",
  "–",
  "—",
  "…",
  "...",
  "潮が満ちる",
  "。",
  "灯台",
  "שלום",
  "مرحبا",
  "🌊",
  "🧑‍🚀",
  "👍🏽",
  "🇩🇪",
  "**bold**",
  "`code`",
  "a-b",
  "1.",
  "- item",
  "|",
  "|---|---|",
  "```\n",
  "# Title\n",
  "x = 1;",
  "\r\n",
  "\n\n",
  "\n",
  "\t",
  "  ",
  "«so»",
  "ha",
  "ha",
  "ha",
  "the",
  "the",
];
const word = fc.constantFrom(...WORDS);
const glue = fc.constantFrom(" ", " ", " ", "", "\n", ", ");
const prose = fc.array(fc.tuple(word, glue), { maxLength: 220 }).map((parts) => parts.flat().join(""));
/** Its end, or all of it, occurs again and again. */
const periodic = fc.tuple(
  prose,
  word.filter((each) => each.trim() !== ""),
  fc.integer({ min: 1, max: 120 }),
  prose,
).map((
  [before, each, times, after],
) => `${before}${`${each} `.repeat(times)}${after}`);
/** The same line at several places. */
const refrain = fc.tuple(fc.array(prose, { maxLength: 4 }), prose).map(([verses, line]) =>
  verses.map((verse) => `${verse}\n${line}`).join("\n")
);
const text = fc.oneof({ weight: 6, arbitrary: prose }, { weight: 2, arbitrary: periodic }, {
  weight: 2,
  arbitrary: refrain,
});

/** Between two characters. */
function cutAt(whole: string, share: number): string {
  const characters = [...whole];
  return characters.slice(0, Math.floor(share * characters.length)).join("");
}

/** What the model answers if it begins again: the same, the same beginning, or something else. */
function again(whole: string, kind: "same" | "similar" | "other", share: number): string {
  if (kind === "same") return whole;
  return kind === "similar"
    ? `${cutAt(whole, share)} But then it differs.`
    : `On the other hand: ${[...whole].reverse().join("")}`;
}

function pieces(reply: string, sizes: readonly number[]): string[] {
  const split: string[] = [];
  for (let at = 0; at < reply.length; at += split.at(-1)?.length ?? 0) {
    split.push(reply.slice(at, at + (sizes[split.length % sizes.length] ?? 1)));
  }
  return split;
}

/** With one space wherever there is white space. */
function spaced(written: string): string {
  return written.trimStart().replaceAll(/\s+/g, " ");
}

interface Case {
  whole: string;
  cut: number;
  behaviour: BehaviourName;
  takesPrefill: boolean;
  kind: "same" | "similar" | "other";
  shared: number;
  sizes: number[];
}

const anyCase: fc.Arbitrary<Case> = fc.record({
  whole: text.filter((each) => each.trim() !== ""),
  cut: fc.double({ min: 0, max: 1, noNaN: true }),
  behaviour: fc.constantFrom(...BEHAVIOUR_NAMES),
  takesPrefill: fc.boolean(),
  kind: fc.constantFrom("same" as const, "similar", "other"),
  shared: fc.double({ min: 0, max: 1, noNaN: true }),
  sizes: fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 8 }),
});

/** The new text has a space where the old one ended in a line break. */
const ENDS_IN_A_LINE_BREAK: Case = {
  whole: "wave wave wave wave 👍🏽 wave wave x = 1;\n",
  cut: 1,
  behaviour: "ignores a prefill and begins again",
  takesPrefill: true,
  kind: "similar",
  shared: 0.98,
  sizes: [60],
};

/** What the model repeats occurs at more places than are followed, so the repetition is found in its middle. */
const REPEATS_ITSELF: Case = {
  whole: `${"```\n ".repeat(56)}wave wave wave wave \`code\` `,
  cut: 0.993485342019544,
  behaviour: "begins further back, after a remark",
  takesPrefill: false,
  kind: "same",
  shared: 0,
  sizes: [1],
};

/**
 * A prefill that is ignored cannot be noticed if the new answer neither resembles the old one nor begins as a
 * sentence does: for this the operator names the models that take a prefill.
 */
function isUnnoticeable({ behaviour, takesPrefill, kind, shared, whole }: Case, partial: string): boolean {
  if (!takesPrefill || behaviour !== "ignores a prefill and begins again" || kind === "same") return false;
  const resembles = kind === "similar" && normalize(cutAt(whole, shared)).length >= 16;
  return !resembles && !isNewSentence(partial.trimEnd(), again(whole, kind, shared));
}

/** So much of a reply is searched for a repetition, in normalized characters, and so long is one at least. */
const SEARCHED = 235;
const REPETITION = 32;

/**
 * The text behind the cut has, near its beginning, words of the answer so far. Without an anchor nobody can tell whether they are
 * said again.
 */
function isAmbiguous({ behaviour, takesPrefill, whole }: Case, partial: string): boolean {
  const before = normalize(partial);
  const rest = normalize(whole.slice(partial.trimEnd().length));
  if (takesPrefill && rest.startsWith(before)) return true;
  if (behaviour !== "continues without the anchor" && behaviour !== "repeats only the last word") {
    return false;
  }
  for (let at = 0; at === 0 || at + REPETITION <= Math.min(rest.length, SEARCHED); at++) {
    if (before.includes(rest.slice(at, at + REPETITION))) return true;
  }
  return false;
}

Deno.test("[TO7] whatever a model makes of it, the answer is there exactly once, or a new one is there alone", async () => {
  await fc.assert(
    fc.asyncProperty(anyCase, async (each) => {
      const { whole, cut, behaviour, takesPrefill, kind, shared, sizes } = each;
      const partial = cutAt(whole, cut);
      fc.pre(partial !== "" && !isUnnoticeable(each, partial) && !isAmbiguous(each, partial));
      const run = await runContinuation({
        whole,
        again: again(whole, kind, shared),
        partial,
        behaviour,
        takesPrefill,
        split: (reply) => pieces(reply, sizes),
      });
      // Two texts that differ only in what white space they have are the same; what the reader has already seen stays.
      const isNew = spaced(run.text) === spaced(again(whole, kind, shared));
      if (!isNew) assert.equal(run.text, whole);
      assert.ok(run.restarts <= 1 && !run.restartedLate);
    }),
    { numRuns: RUNS, examples: [[ENDS_IN_A_LINE_BREAK], [REPEATS_ITSELF]] },
  );
});

Deno.test("the normalized text of pieces is that of the whole, and knows where each character comes from", () => {
  fc.assert(
    fc.property(text, fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }), (whole, sizes) => {
      const normal = new NormalText();
      for (const piece of pieces(whole, sizes)) normal.push(piece);
      assert.equal(normal.text.trimEnd(), normalize(whole));
      for (let index = 1; index < normal.length; index++) {
        const rest = new NormalText(normal.rawFrom(index));
        assert.equal(rest.text, normal.text.slice(index).trimStart());
      }
    }),
    { numRuns: 200 },
  );
});
