/**
 * Tool calls, put together from the fragments of a stream. Servers disagree on everything but the two texts: `index` may be
 * missing or the same for all calls, ids may be missing, repeated or new in each fragment, names repeated or in pieces.
 */

import type { ModelToolCall } from "../ports/model.ts";
import { brokenStream } from "./attempt_failure.ts";
import { isRecord, textOf } from "./json_values.ts";

/** Most calls of one reply: OpenAI's limit of tools in a request. */
export const MAX_TOOL_CALLS = 128;
/** Mistral takes no other length (https://docs.mistral.ai/capabilities/function_calling/); every other provider takes this one. */
const ID_CHARS = 9;

export interface ToolCallOptions {
  /** The names of the tools of the request. They distinguish a piece of a name from the beginning of another call. */
  names: ReadonlySet<string>;
  /** The ids of the calls in the prompt; new ones differ from them. */
  usedIds: ReadonlySet<string>;
  /** From 0 up to 1, as `Math.random`: for the ids that the provider leaves out. */
  random(): number;
}

/** Fields of a call as its provider has sent them. */
export interface GivenCall {
  id?: string;
  /** Gemini's signature of a thought is in it. */
  extra_content?: Readonly<Record<string, unknown>>;
}

interface Fragment {
  index: number | undefined;
  id: string;
  name: string;
  input: string;
  /** The input came as an object: this is all of it. */
  isWhole: boolean;
  extra: Readonly<Record<string, unknown>> | undefined;
}

type OpenCall = Omit<Fragment, "isWhole">;

/** Where a fragment stands in its list. */
interface Place {
  /** Counted from the end: 1 for the last one. */
  back: number;
  /** The one before it belongs to the newest call. */
  isLastTaken: boolean;
}

export class ToolCallAssembler {
  readonly #options: ToolCallOptions;
  readonly #calls: OpenCall[] = [];
  /** The newest call of each index. */
  readonly #byIndex = new Map<number, OpenCall>();

  constructor(options: ToolCallOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#calls.length;
  }

  /**
   * Takes the `tool_calls` of a delta or a message. Returns what is new in it, for a count of characters. Throws a
   * `model_stream_broken` for too many calls.
   */
  add(list: readonly unknown[]): string {
    const fragments = list.map(readFragment).filter((fragment) => fragment !== undefined);
    let added = "";
    let previous: OpenCall | undefined;
    fragments.forEach((fragment, position) => {
      // Two entries of one list are two calls.
      const isLastTaken = previous !== undefined && previous === this.#calls.at(-1);
      const known = this.#find(fragment, { back: fragments.length - position, isLastTaken });
      previous = known === undefined ? this.#open(fragment) : this.#extend(known, fragment);
      added += fragment.name + fragment.input;
      if (fragment.extra !== undefined) added += JSON.stringify(fragment.extra);
    });
    return added;
  }

  /** The calls with unique ids. What has neither a name nor an input is none. */
  calls(): readonly ModelToolCall[] {
    const ids = new Set(this.#options.usedIds);
    return this.#real.map(({ id, name, input }) => {
      const unique = id === "" || ids.has(id) ? this.#newId(ids) : id;
      ids.add(unique);
      return { id: unique, name, arguments: normalInput(input) };
    });
  }

  /** What the provider itself has given to each of the calls. */
  given(): readonly GivenCall[] {
    return this.#real.map(({ id, extra }) => ({
      ...(id !== "" && { id }),
      ...(extra !== undefined && { extra_content: extra }),
    }));
  }

  get #real(): readonly OpenCall[] {
    return this.#calls.filter(({ name, input }) => name !== "" || input.trim() !== "");
  }

  /** The call that the fragment belongs to; undefined if it begins one. */
  #find(fragment: Fragment, place: Place): OpenCall | undefined {
    const known = this.#candidate(fragment, place);
    return known === undefined || this.#isNext(known, fragment) ? undefined : known;
  }

  #candidate({ index, id, name }: Fragment, { back, isLastTaken }: Place): OpenCall | undefined {
    const last = this.#calls.at(-1);
    // Ollama gives all calls the index 0 (https://github.com/ollama/ollama/issues/15457), others give all of them the same id.
    const same = id === ""
      ? undefined
      : this.#calls.findLast((call) => call.id === id && call.index === index);
    if (same !== undefined) return same;
    const newest = index === undefined ? last : this.#byIndex.get(index);
    if (newest === undefined) return name === "" && id === "" ? last : undefined;
    // Poolside gives later fragments another id, but only the first one has a name (https://github.com/poolsideai/pool/issues/9).
    if (name === "") return index === undefined ? this.#calls.at(-back) ?? last : newest;
    const isOther = id !== "" && (newest.id !== "" || index === undefined);
    return isOther || index === undefined && isLastTaken ? undefined : newest;
  }

  /** Whether the fragment begins another call after all. */
  #isNext(known: OpenCall, { id, name, input }: Fragment): boolean {
    if (known.name === "" || name === "") return false;
    if (name === known.name) {
      const isSameCall = id !== "" && id === known.id;
      return !isSameCall && beginsObject(input) && isObject(known.input) && !isSame(known.input, input);
    }
    const { names } = this.#options;
    if (names.has(known.name + name)) return false;
    return known.input !== "" || names.has(known.name);
  }

  #open({ index, id, name, input, extra }: Fragment): OpenCall {
    if (this.#calls.length === MAX_TOOL_CALLS) {
      throw brokenStream(`the model called more than ${MAX_TOOL_CALLS} tools at once`);
    }
    const call: OpenCall = { index, id, name, input, extra };
    this.#calls.push(call);
    if (index !== undefined) this.#byIndex.set(index, call);
    return call;
  }

  /** Returns the call that has the fragment now: another one if it is the input of a next call without a name. */
  #extend(call: OpenCall, fragment: Fragment): OpenCall {
    const { id, input } = fragment;
    const repeatsInput = beginsObject(input) && isObject(call.input);
    const isSameCall = id !== "" && id === call.id;
    if (
      repeatsInput && !fragment.isWhole && !isSameCall && !isSame(call.input, "{}") &&
      !isSame(call.input, input)
    ) {
      return this.#open({ ...fragment, name: fragment.name || call.name });
    }
    if (call.id === "") call.id = id;
    if (fragment.extra !== undefined) call.extra = fragment.extra;
    call.name = this.#joinNames(call, fragment.name);
    if (input === "") return call;
    // Some servers begin with `{}` before they stream the input; others repeat all of it at the end.
    call.input = repeatsInput || fragment.isWhole ? input : call.input + input;
    return call;
  }

  #joinNames(call: OpenCall, name: string): string {
    const { names } = this.#options;
    const isRepeated = name === call.name && !names.has(call.name + name);
    if (name === "" || isRepeated || call.input !== "" && call.name !== "") return call.name;
    return name.startsWith(call.name) && names.has(name) ? name : call.name + name;
  }

  #newId(ids: ReadonlySet<string>): string {
    const count = 36 ** ID_CHARS;
    for (let number = Math.floor(this.#options.random() * count);; number++) {
      const id = (number % count).toString(36).padStart(ID_CHARS, "0");
      if (!ids.has(id)) return id;
    }
  }
}

function readFragment(value: unknown): Fragment | undefined {
  if (!isRecord(value)) return undefined;
  // The old `function_call` is what is in `function` today.
  const { name, arguments: input } = isRecord(value.function) ? value.function : value;
  const isWhole = isRecord(input);
  return {
    index: typeof value.index === "number" ? value.index : undefined,
    id: textOf(value.id),
    name: textOf(name),
    input: isWhole ? JSON.stringify(input) : textOf(input),
    isWhole,
    extra: isRecord(value.extra_content) ? value.extra_content : undefined,
  };
}

/** `{}` for no input, and the object itself where it has been encoded twice; anything else as it is. */
function normalInput(input: string): string {
  const text = input.trim();
  if (text === "" || text === "null") return "{}";
  const inner = text.startsWith('"') ? parse(text) : undefined;
  return typeof inner === "string" && isObject(inner) ? inner : input;
}

function beginsObject(text: string): boolean {
  return text.trimStart().startsWith("{");
}

function isObject(text: string): boolean {
  // The last character first: a long input that is still growing is not parsed for each of its objects.
  return text.trimEnd().endsWith("}") && beginsObject(text) && isRecord(parse(text));
}

/** Whether both are the same JSON, apart from white space. */
function isSame(text: string, other: string): boolean {
  return text === other || JSON.stringify(parse(text)) === JSON.stringify(parse(other));
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
