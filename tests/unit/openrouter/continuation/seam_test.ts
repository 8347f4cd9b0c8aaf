/** Every kind of answer, cut at many places, continued by every kind of model. */

import assert from "node:assert/strict";
import { readBegun } from "../../../../supabase/functions/_shared/openrouter/continuation/begun_answer.ts";
import { normalize } from "../../../../supabase/functions/_shared/openrouter/continuation/normal_text.ts";
import { Seam, type SeamStep } from "../../../../supabase/functions/_shared/openrouter/continuation/seam.ts";
import {
  isNewSentence,
  isRemark,
  joinSpace,
} from "../../../../supabase/functions/_shared/openrouter/continuation/transitions.ts";
import type { ContinueWay } from "../../../../supabase/functions/_shared/protocol/log_event.ts";
import { BEHAVIOUR_NAMES, type BehaviourName } from "../../../support/continuing_models.ts";
import { runContinuation } from "../../../support/continuing_run.ts";

const lines = (count: number, line: (n: number) => string): string =>
  Array.from({ length: count }, (_, index) => line(index + 1)).join("\n");

const ANSWERS: Readonly<Record<string, string>> = {
  "prose": lines(9, (n) => `Paragraph ${n} — it has a dash, “quotes”, it’s short… and ends.\n`),
  "a list": lines(20, (n) => `${n}. **Item ${n}**: the ${n}th of them\n   - with a note (${n * n})`),
  "a code block": `Here is the code:\n\n\`\`\`ts\n${
    lines(16, (n) => `export function f${n}(a: number): number {\n  return a * ${n};\n}`)
  }\n\`\`\`\n\nThat is all.`,
  "a table": `| n | square | cube |\n|---|---|---|\n${lines(24, (n) => `| ${n} | ${n * n} | ${n ** 3} |`)}\n`,
  "right-to-left text": lines(
    10,
    (n) => `פסקה ${n}: זהו משפט קצר, ואחריו עוד אחד. هذه جملة رقم ${n} وتنتهي هنا.`,
  ),
  "emoji": lines(12, (n) => `${n} 🌊🧑‍🚀 👍🏽 🇩🇪🇫🇷 👩‍👩‍👧‍👦 ❤️‍🔥 and ${n} more`),
  "CJK without spaces": Array.from(
    { length: 30 },
    (_, n) => `第${n}章では、灯台守が${n}通の手紙に返事を書いた。`,
  ).join(""),
  "combining marks": lines(12, (n) => `e\u0301tude ${n}: n\u0303, o\u0308, หมายเลข ${n}, हिन्दी ${n}`),
  "CRLF": lines(
    14,
    (n) => `Line ${n} of a text with\r\n  two-byte line breaks,\r\n\r\nand empty lines ${n}.\r`,
  ),
  "a text with its anchor twice":
    `${lines(5, (n) => `Verse ${n}: the ships go out at ${n} in the morning, and ${n} come back.`)}\n` +
    `And the lamp goes round and round, and nobody counts the turns of its light at night.\n` +
    `${lines(3, (n) => `Verse ${n + 5}: the fog comes in from the ${n}. side of the bay, as it does.`)}\n` +
    `And the lamp goes round and round, and nobody counts the turns of its light at night.\nThe end.`,
  "a text that repeats one word": "ha ".repeat(200) + "and then it stops.",
  "a short text": "One two three four five six seven.",
};

const EVERY = 17;

for (const [kind, whole] of Object.entries(ANSWERS)) {
  Deno.test(`[TO7] ${kind}: cut anywhere, it is there exactly once, whatever the model does`, async () => {
    const characters = [...whole];
    const used = new Set<string>();
    for (const takesPrefill of [true, false]) {
      for (const behaviour of BEHAVIOUR_NAMES) {
        for (let cut = 1; cut <= characters.length; cut += EVERY) {
          const partial = characters.slice(0, cut).join("");
          const split = (text: string): string[] =>
            text.match(new RegExp(`[^]{1,${1 + cut % 7}}`, "g")) ?? [];
          const run = await runContinuation({ whole, partial, behaviour, takesPrefill, split });
          assert.equal(run.text, whole, `${behaviour}, cut at ${cut}, ${run.ways}`);
          assert.ok(run.restarts <= 1 && !run.restartedLate);
          used.add(run.ways.at(-1) ?? "");
        }
      }
    }
    const isShort = whole.length < 200;
    assert.ok(used.has("restart"));
    if (!isShort) assert.ok(used.has("prefill") && used.has("anchored"));
  });
}

const ANSWER = lines(12, (n) => `Sentence ${n} of the answer has ${n * 7} words.`);
const CUT = ANSWER.slice(0, 300);

/** The ways in which a reply becomes part of the answer, by behaviour. */
const WAYS: Partial<Record<BehaviourName, [prefill: ContinueWay[], other: ContinueWay[]]>> = {
  "obeys everything": [["prefill"], ["anchored"]],
  "refuses a prefill": [["prefill", "anchored"], ["anchored"]],
  "ignores a prefill and begins again": [["prefill"], ["anchored"]],
  "ignores a prefill and repeats the last words": [["prefill", "anchored"], ["anchored"]],
  "makes a remark first": [["prefill"], ["anchored"]],
  "repeats the whole answer": [["prefill"], ["anchored"]],
  "stops in the middle of the anchor": [["prefill"], ["anchored", "restart"]],
  "continues without the anchor": [["prefill"], ["anchored", "restart"]],
  "says something else": [["prefill"], ["anchored", "restart"]],
  "refuses every continuation": [["prefill", "anchored", "restart"], ["anchored", "restart"]],
};

Deno.test("[TO7] the ways that are tried, in order", async () => {
  for (const [behaviour, [prefill, other]] of Object.entries(WAYS)) {
    for (const [takesPrefill, expected] of [[true, prefill], [false, other]] as const) {
      const { ways } = await runContinuation({
        whole: ANSWER,
        partial: CUT,
        behaviour: behaviour as BehaviourName,
        takesPrefill,
        split: (text) => [text],
      });
      assert.deepEqual(ways, expected, behaviour);
    }
  }
});

/** The result of a reply that arrives in these pieces and then ends. */
function joined(
  way: ContinueWay,
  partial: string,
  pieces: readonly string[],
  finishReason = "stop",
): SeamStep {
  const seam = new Seam(way, readBegun(partial));
  for (const piece of pieces) {
    const step = seam.push(piece);
    if (step.kind !== "hold") return step;
  }
  return seam.end(finishReason);
}

const open = (text: string, restarts = false): SeamStep => ({ kind: "open", text, restarts });
const failed = (why: string): unknown => ({ kind: "failed", why });
const anchorOf = (partial: string): string => readBegun(partial).anchor ?? assert.fail("no anchor");

Deno.test("the anchor: the last words, from the beginning of a word, and never within a character", () => {
  assert.ok(CUT.endsWith(anchorOf(CUT)));
  assert.match(anchorOf(CUT), /^\S/);
  for (const [kind, whole] of Object.entries(ANSWERS)) {
    for (let cut = 220; cut < whole.length; cut++) {
      const { anchor, text } = readBegun(whole.slice(0, cut));
      if (anchor === undefined) continue;
      assert.ok(text.endsWith(anchor), kind);
      const { length } = normalize(anchor);
      assert.ok(length >= 50 && length < 220, `${kind}: ${length}`);
      assert.doesNotMatch(anchor, /^(?:[\udc00-\udfff]|\p{M}|\u200d|\s)/u, kind);
    }
  }
  assert.equal(readBegun("short").anchor, undefined);
  assert.equal(readBegun("ha ".repeat(200)).anchor, undefined);
});

Deno.test("white space at the seam is there once, and stays as it was shown", () => {
  const anchor = anchorOf(CUT.trimEnd());
  for (
    const [had, comes, added] of [
      ["", " next", " next"],
      [" ", " next", "next"],
      [" ", "next", "next"],
      [" ", "\n\nnext", "next"],
      ["\n", "\n- next", "- next"],
      ["\n", "\n\nnext", "\nnext"],
      ["\n\n", "\nnext", "next"],
      ["\n", "\r\n\r\nnext", "\nnext"],
      ["\r\n", "\n  next", "  next"],
      ["\r", "\r\nnext", "\nnext"],
      ["\n  ", "\n    next", "  next"],
    ] as const
  ) {
    const partial = CUT.trimEnd() + had;
    const name = JSON.stringify([had, comes]);
    assert.deepEqual(
      joined("anchored", partial, [anchor, ...comes]),
      open(added.slice(0, added.search(/\S/) + 1)),
      name,
    );
    assert.deepEqual(joined("anchored", partial, [anchor + comes]), open(added), name);
    if (comes.startsWith(had)) assert.deepEqual(joined("prefill", partial, [comes]), open(added), name);
  }
  assert.equal(joinSpace(" ", "\n"), undefined);
});

Deno.test("the last words alone: the answer was complete, unless the reply was cut off", () => {
  const anchor = anchorOf(CUT);
  assert.deepEqual(joined("anchored", CUT, [anchor]), open(""));
  assert.deepEqual(joined("anchored", CUT, [`“${anchor}”\n`]), open("\n"));
  for (const reason of ["length", "max_tokens"]) {
    assert.deepEqual(joined("anchored", CUT, [anchor], reason), failed("nothing_new"));
  }
  assert.deepEqual(joined("anchored", CUT, [anchor.slice(0, 40)]), failed("nothing_new"));
  assert.deepEqual(joined("anchored", CUT, []), failed("nothing_new"));
});

Deno.test("a new answer replaces the old one, without the remark before it", () => {
  const other = `${ANSWER.slice(0, 150)} But from here on it is another one.`;
  assert.deepEqual(
    joined("anchored", CUT, [other, "x".repeat(300)]),
    open(`${other}${"x".repeat(300)}`, true),
  );
  assert.deepEqual(joined("anchored", CUT, [`Sure:\n\n${other}`]), open(other, true));
  assert.deepEqual(joined("restart", CUT, ["Quite another."]), open("Quite another.", true));
  assert.deepEqual(joined("restart", CUT, [ANSWER.slice(0, 100)]), open(ANSWER.slice(0, 100), true));
  assert.deepEqual(joined("restart", CUT, [" \n"]), failed("nothing_new"));
});

Deno.test("after a prefill, what may be a new answer is dropped", () => {
  assert.deepEqual(joined("prefill", CUT, ["Sentence 1 of the answer differs."]), failed("unclear"));
  assert.deepEqual(
    joined("prefill", "The first line of an answer, cut in a word", ["Here I go again."]),
    failed("unclear"),
  );
  assert.deepEqual(joined("prefill", CUT, [CUT.slice(-50), " and more"]), failed("unclear"));
  assert.deepEqual(
    joined("prefill", CUT, [CUT, " and more"]),
    open(" and more"),
    "some providers return the prefill",
  );
  assert.deepEqual(joined("prefill", CUT, [CUT.slice(0, 30)]), failed("nothing_new"));
  assert.deepEqual(joined("prefill", CUT, [""]), failed("nothing_new"));
  assert.deepEqual(joined("prefill", CUT, ["S"]), failed("unclear"));
  assert.deepEqual(joined("prefill", CUT, ["s"]), open("s"));
});

Deno.test("a reply without the last words is given up within 260 characters", () => {
  const seam = new Seam("anchored", readBegun(CUT));
  let length = 0;
  let step: SeamStep = { kind: "hold" };
  while (step.kind === "hold") {
    step = seam.push("something else, ".slice(0, 1 + length % 13));
    length += 1 + length % 13;
  }
  assert.deepEqual(step, failed("no_anchor"));
  assert.ok(length < 260, `${length}`);
});

Deno.test("remarks and new sentences", () => {
  for (
    const remark of [
      "",
      "\n",
      "Sure! Here is the rest:\n\n",
      "Of course: ",
      "```ts\n",
      "好的，继续：",
      "**",
      "Sure, “",
      "...",
      "…",
      "> ",
    ]
  ) {
    assert.ok(isRemark(remark), remark);
  }
  for (const text of ["and then it went on:\n", ", as I said:\n", "Sure. Well ", "Sentence "]) {
    assert.ok(!isRemark(text), text);
  }
  assert.ok(isNewSentence("four five", "One two"));
  assert.ok(isNewSentence("done.", "One"));
  assert.ok(isNewSentence("done 🌊", "One"));
  for (
    const [text, reply] of [["four fi", "ve"], ["four", " Five"], ["**", "Bold"], ["(", "And"], [
      "潮",
      "が",
    ]] as const
  ) {
    assert.ok(!isNewSentence(text, reply), `${text} ${reply}`);
  }
});
