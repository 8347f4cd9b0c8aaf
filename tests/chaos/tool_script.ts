/** Which tools are called for a question, and in which steps. It follows from the question, as the answer does. */

import { Random } from "./random.ts";
import { numberedWords } from "./words.ts";

export type ToolName = "book" | "mark" | "pay" | "pick" | "slow" | "fail";

/** What has to come before a call runs; `refused`: it cannot run. */
export type ScriptedNeeds = "nothing" | "approval" | "client" | "refused";

export interface ScriptedCall {
  /** As the model writes it. */
  name: ToolName | "no_such_tool";
  /** As the model writes them: perhaps no JSON, or nothing that the tool takes. */
  arguments: string;
  /** As the log must have it; null where the arguments are no object. */
  input: unknown;
  needs: ScriptedNeeds;
}

export interface ScriptedStep {
  /** The text before the calls; often none. */
  text: string;
  calls: readonly ScriptedCall[];
}

/** More than this has to be approved. */
export const FREE_AMOUNT = 20;
/** The longest call, in milliseconds: most workers that run one end before it does. */
const LONG_MS = 12_000;
const USES_TOOLS = /: what do you do\?$/;
const MAX_STEPS = 4;

/** The steps before the answer; none for most questions. */
export function stepsOf(question: string): readonly ScriptedStep[] {
  if (!USES_TOOLS.test(question)) return [];
  const random = new Random(`${question}/tools`);
  const [name = ""] = question.split(":");
  return Array.from({ length: random.magnitude(1, MAX_STEPS) }, (_, step) => {
    const text = random.chance(0.4) ? numberedWords(random, random.int(3, 12)) : "";
    const fate = random.next();
    const count = fate < 0.65 ? 1 : fate < 0.9 ? random.int(2, 3) : random.int(4, 6);
    // Wrong calls in every step would take the tools from the model.
    const mayBeWrong = step < 2;
    const calls = Array.from(
      { length: count },
      (_, place) => callOf(random, { label: `${name}/${step + 1}/${place}`, mayBeWrong }),
    );
    return { text, calls };
  });
}

function callOf(
  random: Random,
  { label, mayBeWrong }: { label: string; mayBeWrong: boolean },
): ScriptedCall {
  const fate = random.next();
  const ms = random.magnitude(1, 600);
  if (fate < 0.3) return right("book", { label, ms });
  if (fate < 0.52) return right("mark", { label, ms });
  if (fate < 0.7) {
    const amount = random.int(1, 100);
    return right("pay", { label, amount, ms }, amount > FREE_AMOUNT ? "approval" : "nothing");
  }
  if (fate < 0.76) return right("pick", { label }, "client");
  if (fate < 0.84) {
    return right("slow", { label, ms: random.chance(0.06) ? LONG_MS : random.magnitude(500, 3000) });
  }
  if (fate < 0.9 || !mayBeWrong) return right("fail", { label });
  if (fate < 0.94) return wrong("no_such_tool", JSON.stringify({ label }), { label });
  if (fate < 0.97) return wrong("mark", `{"label": "${label}"`, null);
  return wrong("pay", JSON.stringify({ label, amount: "much" }), { label, amount: "much" });
}

function right(
  name: ToolName,
  input: Readonly<Record<string, unknown>>,
  needs: ScriptedNeeds = "nothing",
): ScriptedCall {
  return { name, arguments: JSON.stringify(input), input, needs };
}

function wrong(name: ScriptedCall["name"], text: string, input: unknown): ScriptedCall {
  return { name, arguments: text, input, needs: "refused" };
}
