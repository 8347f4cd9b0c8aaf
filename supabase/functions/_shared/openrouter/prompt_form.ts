/** How the messages of a prompt are written for an endpoint, where tool calls are among them. */

import type { ModelDialect } from "../model_dialect.ts";
import type { ModelMessage, ModelRequest, ModelToolCall, ToolSpec } from "../ports/model.ts";
import type { PromptMessage } from "./continuation/ways.ts";
import { isRecord } from "./json_values.ts";
import {
  contentIn,
  givenIn,
  providersOwn,
  REASONING_CONTENT,
  type ReasoningField,
} from "./reasoning_details.ts";
import type { GivenCall } from "./tool_calls.ts";

/** What endpoints disagree on. */
export interface PromptForm {
  /** Ids of calls have exactly 9 letters and digits: Mistral (https://docs.mistral.ai/capabilities/function_calling/). */
  shortIds: boolean;
  /**
   * An assistant's message stands between results and the next question: Mistral
   * (https://github.com/zed-industries/zed/issues/37021).
   */
  closesSteps: boolean;
  /**
   * Messages with calls have the `reasoning_content` of their reply: DeepSeek and Moonshot refuse them without where the model thinks
   * (https://api-docs.deepseek.com/guides/thinking_mode). `known`: if there is one; `always`: something in any case.
   */
  reasoningContent: "never" | "known" | "always";
  /**
   * The `extra_content` of calls is handed back, which Gemini's models insist on
   * (https://ai.google.dev/gemini-api/docs/thought-signatures).
   */
  extraContent: boolean;
  /**
   * Calls without a signature, such as those of another model, have Google's placeholder: Gemini 3 refuses them without
   * (https://ai.google.dev/gemini-api/docs/thought-signatures#faqs).
   */
  signsCalls: boolean;
  /** Tools that earlier messages have called are defined, also where a request offers none: Bedrock refuses it without. */
  definesCalled: boolean;
}

/** The form of an endpoint without special requirements. */
export const PLAIN_FORM: PromptForm = {
  shortIds: false,
  closesSteps: false,
  reasoningContent: "never",
  extraContent: true,
  signsCalls: false,
  definesCalled: false,
};

const REASONING_HOSTS = /(^|\.)(deepseek\.com|moonshot\.(ai|cn))$/;
const MISTRAL_HOSTS = /(^|\.)mistral\.ai$/;

export function formFor(baseUrl: string): PromptForm {
  const { hostname } = new URL(baseUrl);
  const isMistral = MISTRAL_HOSTS.test(hostname);
  return {
    ...PLAIN_FORM,
    shortIds: isMistral,
    closesSteps: isMistral,
    reasoningContent: REASONING_HOSTS.test(hostname) ? "known" : "never",
  };
}

/** Which part of a reply's reasoning is collected for the next request. */
export function reasoningFieldOf(dialect: ModelDialect, form: PromptForm): ReasoningField | undefined {
  if (dialect === "openrouter") return "reasoning_details";
  return form.reasoningContent === "never" ? undefined : REASONING_CONTENT;
}

/** The words with which an endpoint refuses a form. Gateways repeat those of the server behind them. */
const REFUSALS: readonly (readonly [words: RegExp, change: Partial<PromptForm>])[] = [
  // Mistral; OpenAI, which takes 40 characters; Anthropic
  [
    /tool.?call.?id .*length of 9|tool_calls?(?:\[\d+\])?[._]id.*too long|tool_use(?:_id|\.id).*match pattern/is,
    {
      shortIds: true,
    },
  ],
  [/reasoning_content.*(?:missing|required|must be|passed? back)|missing.*reasoning_content/is, {
    reasoningContent: "always",
  }],
  [/unexpected role .?user.? after role .?tool/i, { closesSteps: true }],
  [/missing a .?thought_?signature/i, { signsCalls: true }],
  [/extra_content/i, { extraContent: false, signsCalls: false }],
  // Bedrock; Anthropic; LiteLLM
  [/toolConfig.*must be defined|must define tools|without `?tools=?`? param/is, { definesCalled: true }],
];

/** The form that the endpoint asks for in its refusal of a prompt; undefined if it is about something else. */
export function formAfter(
  { status, detail }: { status?: number | undefined; detail: string },
  form: PromptForm,
): PromptForm | undefined {
  if (status === 401 || status === 403 || status === 429) return undefined;
  for (const [words, change] of REFUSALS) {
    const changed = { ...form, ...change };
    if (words.test(detail) && JSON.stringify(changed) !== JSON.stringify(form)) return changed;
  }
  return undefined;
}

/** The tools that a request defines: those that it offers. */
export function toolsIn({ tools = [], messages }: ModelRequest, form: PromptForm): readonly ToolSpec[] {
  if (tools.length > 0 || !form.definesCalled) return tools;
  const names = new Set(messages.flatMap(({ calls = [] }) => calls.map(({ name }) => writeName(name))));
  const parameters = { type: "object", properties: {} };
  return [...names].map((name) => ({ name, description: "It cannot be called any more.", parameters }));
}

/** The messages as they are sent. */
export function writeMessages(
  messages: readonly PromptMessage[],
  { dialect, form }: { dialect: ModelDialect; form: PromptForm },
): unknown[] {
  const ids = new PromptIds(form);
  return messages.flatMap((message, index): unknown => {
    const { calls = [], callId, reasoningDetails: _, ...plain } = message;
    const { role, content } = plain;
    if (role === "tool") return { role, tool_call_id: ids.of(callId ?? ""), content };
    if (calls.length === 0) {
      const isBehindResult = role === "user" && messages[index - 1]?.role === "tool";
      return form.closesSteps && isBehindResult ? [NO_ANSWER, plain] : plain;
    }
    const given = signed(givenIn(message.reasoningDetails ?? []), form);
    return {
      role,
      // Bedrock refuses a text that is empty; null is OpenAI's way to leave it out.
      content: content === "" ? null : content,
      tool_calls: calls.map((call, place) => writeCall(call, { given: given[place] ?? {}, ids, form })),
      ...writeReasoning(message, dialect, form),
    };
  });
}

/** Where an answer was stopped behind its tools. */
const NO_ANSWER = { role: "assistant", content: "(no answer)" };
const UNSIGNED = { google: { thought_signature: "skip_thought_signature_validator" } };

/** The first call of a step has the signature of all. */
function signed(given: readonly GivenCall[], { signsCalls }: PromptForm): readonly GivenCall[] {
  if (!signsCalls || given.some(({ extra_content: extra }) => extra !== undefined)) return given;
  const [first = {}, ...rest] = given;
  return [{ ...first, extra_content: UNSIGNED }, ...rest];
}

function writeCall(
  { id, name, arguments: input }: ModelToolCall,
  { given, ids, form }: { given: GivenCall; ids: PromptIds; form: PromptForm },
): object {
  return {
    id: ids.take(id, given.id),
    type: "function",
    function: { name: writeName(name), arguments: writeInput(input) },
    ...(given.extra_content !== undefined && form.extraContent && { extra_content: given.extra_content }),
  };
}

/** A name that a model has made up would be refused with every later prompt. */
function writeName(name: string): string {
  return name.replace(/[^a-zA-Z0-9_-]/g, "_").slice(0, 64) || "_";
}

/** Servers that parse the arguments (Anthropic, Gemini, vLLM, llama.cpp) refuse what is no object, with every later prompt. */
function writeInput(input: string): string {
  try {
    if (isRecord(JSON.parse(input))) return input;
  } catch {
    // Not JSON.
  }
  return JSON.stringify({ invalid_arguments: input });
}

function writeReasoning(
  { reasoningDetails = [] }: ModelMessage,
  dialect: ModelDialect,
  form: PromptForm,
): object | undefined {
  if (dialect === "openrouter") {
    const details = providersOwn(reasoningDetails);
    return details.length === 0 ? undefined : { reasoning_details: details };
  }
  if (form.reasoningContent === "never") return undefined;
  const text = contentIn(reasoningDetails);
  // A call of a model that did not think, or of another one, has none. An empty one may count as missing.
  return text !== "" || form.reasoningContent === "always" ? { reasoning_content: text || " " } : undefined;
}

/** The ids of one prompt: a call and its result have the same, and no other call. */
class PromptIds {
  readonly #form: PromptForm;
  readonly #written = new Map<string, string>();
  readonly #taken = new Set<string>();

  constructor(form: PromptForm) {
    this.#form = form;
  }

  /** The id of a call. `given`: its provider's own, if that looks at it. */
  take(id: string, given = id): string {
    const wanted = this.#taken.has(given) ? id : given;
    const written = this.#form.shortIds ? this.#shorten(wanted) : wanted;
    this.#written.set(id, written);
    this.#taken.add(written);
    return written;
  }

  /** The id that was taken for a call. */
  of(id: string): string {
    return this.#written.get(id) ?? this.take(id);
  }

  /** An id that is short already stays. */
  #shorten(id: string): string {
    if (/^[a-zA-Z0-9]{9}$/.test(id)) return id;
    for (let salt = 0;; salt++) {
      const hashed = hash(`${id}${salt}`);
      if (!this.#taken.has(hashed)) return hashed;
    }
  }
}

/** 9 letters and digits. FNV-1a twice, because 32 bits have 7 at most. */
function hash(text: string): string {
  let [low, high] = [0x811c9dc5, 0x9dc5811c];
  for (let index = 0; index < text.length; index++) {
    low = Math.imul(low ^ text.charCodeAt(index), 0x01000193) >>> 0;
    high = Math.imul(high ^ text.charCodeAt(index), 0x01000193) >>> 0;
  }
  return (low.toString(36).padStart(7, "0") + high.toString(36).padStart(7, "0")).slice(2, 11);
}
