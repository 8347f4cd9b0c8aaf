/** Reads the agent's prompt to the chaos model, and checks it. Pure. */

import * as z from "zod";
import { type AskedTo, readAskedTo } from "../../local/asked_to.ts";
import { equalJson } from "./json.ts";
import { conversationOf, isBeginning, textsOfStep } from "./script.ts";
import { stepsOf } from "./tool_script.ts";

const request = z.object({
  messages: z.array(z.object({
    role: z.enum(["system", "user", "assistant", "tool"]),
    content: z.string().nullable(),
    tool_calls: z.array(z.object({
      id: z.string(),
      type: z.literal("function"),
      function: z.object({ name: z.string(), arguments: z.string() }),
    })).default([]),
    tool_call_id: z.string().optional(),
  })),
  tools: z.array(z.object({ function: z.object({ name: z.string() }) })).default([]),
});

/** A step of the turn, with what came of its calls. */
export interface PromptStep {
  text: string;
  calls: readonly { name: string; arguments: string }[];
  /** In the order of the calls. */
  results: readonly string[];
}

export interface Prompt {
  /** The user's last message, without what asks to continue an answer. */
  question: string;
  /** The steps behind the question. */
  steps: readonly PromptStep[];
  /** How the rest of its answer is asked for. */
  asked: AskedTo;
  /** Everything before the question except the system prompt, oldest first. */
  history: readonly { role: "user" | "assistant"; content: string }[];
  /** The names of the tools that the model may call. */
  tools: readonly string[];
}

type Message = z.output<typeof request>["messages"][number] & { content: string };

/** Throws if the request is not a chat request. */
export function readPrompt(body: unknown): Prompt {
  const { messages, tools } = request.parse(body);
  const turns = messages.flatMap((message) =>
    message.role === "system" ? [] : [{ ...message, content: message.content ?? "" }]
  );
  const { asked, rest } = readAskedTo(turns);
  const at = rest.findLastIndex(({ role }) => role === "user");
  const history = rest.slice(0, Math.max(0, at)).map(({ role, content }) => {
    if (role !== "user" && role !== "assistant") {
      throw new TypeError(`Cannot read prompt: history has a ${role}`);
    }
    return { role, content };
  });
  const tail = rest.slice(at + 1);
  return {
    question: rest[at]?.content ?? "",
    steps: stepsIn(tail),
    asked,
    history,
    tools: tools.map((tool) => tool.function.name),
  };
}

/** Throws if the results are not those of the calls before them, in their order. */
function stepsIn(messages: readonly Message[]): PromptStep[] {
  const steps: PromptStep[] = [];
  for (let at = 0; at < messages.length;) {
    const { role, content, tool_calls: calls } = messages[at] as Message;
    const results = messages.slice(at + 1, at + 1 + calls.length);
    const isWhole = role === "assistant" && calls.length > 0 && results.length === calls.length &&
      results.every((result, place) => result.role === "tool" && result.tool_call_id === calls[place]?.id);
    if (!isWhole) throw new TypeError(`Cannot read prompt: ${role} without calls and all their results`);
    steps.push({
      text: content,
      calls: calls.map((call) => call.function),
      results: results.map((result) => result.content),
    });
    at += 1 + calls.length;
  }
  return steps;
}

/** The problem of a prompt; undefined if it is correct. */
export function findProblem({ question, steps, asked: askedTo, history, tools }: Prompt): string | undefined {
  const conversation = conversationOf(question);
  if (conversation === undefined) return `foreign: no question of ours: ${question.slice(0, 80)}`;
  const wrong = findWrongStep(question, steps);
  if (wrong !== undefined) return wrong;
  const text = askedTo.kind === "answer" ? "" : askedTo.text;
  if (!textsOfStep(question, steps.length).some((right) => right.startsWith(text))) {
    return `mismatched: ${question} is to go on from what is not its answer's beginning: ${text.slice(-60)}`;
  }
  if (askedTo.kind === "anchored" && !text.endsWith(askedTo.anchor)) {
    return `mismatched: ${question} has an anchor that is not its answer's end: ${askedTo.anchor}`;
  }
  if (tools.length === 0 && steps.length < stepsOf(question).length) {
    return `mismatched: ${question} comes without tools, after ${steps.length} steps`;
  }
  let asked: string | undefined;
  for (const { role, content } of history) {
    if (role === "user") {
      if (conversationOf(content) !== conversation) {
        return `foreign: ${question} comes with ${content.slice(0, 80)}`;
      }
      asked = content;
    } else if (asked === undefined || !isBeginning(content, asked)) {
      return `mismatched: the history of ${question} has another answer to ${asked}: ${content.slice(-60)}`;
    }
  }
  return undefined;
}

/** The steps are those that the model has taken. */
function findWrongStep(question: string, steps: readonly PromptStep[]): string | undefined {
  const script = stepsOf(question);
  for (const [index, { text, calls }] of steps.entries()) {
    const scripted = script[index];
    const where = `mismatched: step ${index + 1} of ${question}`;
    if (scripted === undefined) return `${where}: the model has not taken it`;
    if (scripted.text !== text) return `${where} has the text ${text.slice(0, 60)}`;
    const names = (list: readonly { name: string }[]): string => list.map(({ name }) => name).join(" ");
    if (names(calls) !== names(scripted.calls)) return `${where} calls ${names(calls)}`;
    for (const [place, call] of calls.entries()) {
      const { input } = scripted.calls[place] ?? {};
      if (!equalJson(JSON.parse(call.arguments), input ?? {})) return `${where} has ${call.arguments}`;
    }
  }
  return undefined;
}
