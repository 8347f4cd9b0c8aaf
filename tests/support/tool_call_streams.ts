/** The same tool calls, as servers of every kind stream them. */

import type { ModelToolCall } from "../../supabase/functions/_shared/ports/model.ts";
import { sse } from "./model_stream.ts";

/** What a test wants called. */
export type WantedCall = Pick<ModelToolCall, "id" | "name" | "arguments">;

interface Fragment {
  index: number;
  id: string;
  name: string;
  arguments: string;
  isFirst: boolean;
}

/** Writes a fragment as an entry of `tool_calls`. */
type Writer = (fragment: Fragment) => object;

interface Style {
  write: Writer;
  /** Whether the fragments of several calls may be interleaved. Default false. */
  interleaves?: boolean;
  /** Whether the arguments come in one piece. Default false. */
  isWhole?: boolean;
  /** Whether the provider's ids come through. Default true. */
  hasIds?: boolean;
}

const first = <T extends object>({ isFirst }: Fragment, fields: T): T | object => isFirst ? fields : {};

/**
 * Styles of servers. Every name is one that was reported; where two calls cannot be told apart at all (fragments of the same
 * name, without ids and indexes) there is no style.
 */
export const CALL_STYLES = {
  "OpenAI": {
    write: (f) => ({
      index: f.index,
      ...first(f, { id: f.id, type: "function" }),
      function: { ...first(f, { name: f.name }), arguments: f.arguments },
    }),
    interleaves: true,
  },
  "ids and names in every fragment": {
    write: (f) => ({ index: f.index, id: f.id, function: { name: f.name, arguments: f.arguments } }),
    interleaves: true,
  },
  "another id in every fragment (Poolside)": {
    write: (f) => ({
      index: f.index,
      id: f.isFirst ? f.id : `random-${Math.abs(f.arguments.length * 31 + f.index)}`,
      function: { ...first(f, { name: f.name }), arguments: f.arguments },
    }),
    interleaves: true,
  },
  "the index 0 for all calls (Ollama)": {
    write: (f) => ({
      index: 0,
      id: f.id,
      type: "function",
      function: { name: f.name, arguments: f.arguments },
    }),
    isWhole: true,
  },
  "the index 0 for all calls, in fragments": {
    write: (f) => ({
      index: 0,
      ...first(f, { id: f.id }),
      function: { ...first(f, { name: f.name }), arguments: f.arguments },
    }),
  },
  "ids but no indexes": {
    write: (f) => ({ id: f.id, function: { ...first(f, { name: f.name }), arguments: f.arguments } }),
    interleaves: true,
  },
  "neither indexes nor later ids": {
    write: (f) => ({
      ...first(f, { id: f.id }),
      function: { ...first(f, { name: f.name }), arguments: f.arguments },
    }),
  },
  "no ids": {
    write: (f) => ({ index: f.index, function: { ...first(f, { name: f.name }), arguments: f.arguments } }),
    interleaves: true,
    hasIds: false,
  },
  "empty ids and null names": {
    write: (f) => ({
      index: f.index,
      id: "",
      function: { name: f.isFirst ? f.name : null, arguments: f.arguments },
    }),
    interleaves: true,
    hasIds: false,
  },
  "whole calls without index and id": {
    write: (f) => ({ type: "function", function: { name: f.name, arguments: f.arguments } }),
    isWhole: true,
    hasIds: false,
  },
  "arguments as objects (Gemini proxies)": {
    write: (f) => ({
      index: f.index,
      id: f.id,
      function: { name: f.name, arguments: JSON.parse(f.arguments) },
    }),
    isWhole: true,
  },
} satisfies Record<string, Style>;

export type CallStyle = keyof typeof CALL_STYLES;

/** Deltas with `tool_calls`. `cut`: the lengths of the pieces of the arguments, again and again; default 3 characters each. */
export function callDeltas(
  style: CallStyle,
  calls: readonly WantedCall[],
  cut: readonly number[] = [3],
): object[] {
  const { write, interleaves = false, isWhole = false }: Style = CALL_STYLES[style];
  const lists = calls.map((call, index) => fragmentsOf(call, index, isWhole ? [Infinity] : cut).map(write));
  const entries = interleaves ? interleave(lists) : lists.flat();
  return entries.map((entry) => ({ tool_calls: [entry] }));
}

/** A whole stream of calls. `reason`: null for none. */
export function callStream(
  style: CallStyle,
  calls: readonly WantedCall[],
  { text = "", reason = "tool_calls" }: { text?: string; reason?: string | null } = {},
): string {
  const chunk = (delta: object, finish_reason: string | null = null): string =>
    sse({ model: "test/model", choices: [{ index: 0, delta, finish_reason }] });
  const before = text === "" ? "" : chunk({ content: text });
  const end = reason === null ? "" : chunk({}, reason);
  return before + callDeltas(style, calls).map((delta) => chunk(delta)).join("") + end + sse("[DONE]");
}

/** Whether the ids that the stream was made from are those of the reply. */
export function keepsIds(style: CallStyle): boolean {
  const { hasIds = true }: Style = CALL_STYLES[style];
  return hasIds;
}

function fragmentsOf(call: WantedCall, index: number, cut: readonly number[]): Fragment[] {
  const fragments: Fragment[] = [];
  let at = 0;
  do {
    const length = Math.max(1, cut[fragments.length % cut.length] ?? Infinity);
    const piece = call.arguments.slice(at, at + length);
    fragments.push({ ...call, index, arguments: piece, isFirst: fragments.length === 0 });
    at += length;
  } while (at < call.arguments.length);
  return fragments;
}

function interleave<T>(lists: readonly (readonly T[])[]): T[] {
  const longest = Math.max(0, ...lists.map(({ length }) => length));
  return Array.from({ length: longest }, (_, at) => lists.flatMap((list) => list.slice(at, at + 1))).flat();
}
