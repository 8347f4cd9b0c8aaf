/** Pending client requests other than queries. Each is settled by an `answer` effect of the core with the same id. */

import type { AgentError } from "../errors.ts";
import type { WishResult } from "./core/effect.ts";
import { emptyMap, type LazyMap, withEntry, withoutEntry } from "./core/lazy_map.ts";
import { toError } from "./refusals.ts";

interface Wish {
  /** The action in the words of an error message: "Cannot <action>: …". */
  action: string;
  resolve(queryIds: readonly string[]): void;
  reject(error: AgentError): void;
}

export class Wishes {
  /** By id. */
  #open: LazyMap<string, Wish> = emptyMap();
  #lastId = 0;

  /** `answer` resolves with the ids of the queries that were stopped, or rejects with the refusal. */
  open(action: string): { id: string; answer: Promise<readonly string[]> } {
    const id = String(++this.#lastId);
    const { promise, resolve, reject } = Promise.withResolvers<readonly string[]>();
    this.#open = withEntry(this.#open, id, { action, resolve, reject });
    return { id, answer: promise };
  }

  settle(id: string, result: WishResult): void {
    const wish = this.#open.get(id);
    this.#open = withoutEntry(this.#open, id);
    if (result.ok) wish?.resolve(result.queryIds);
    else wish?.reject(toError(result.refusal, wish.action));
  }

  rejectAll(why: AgentError): void {
    for (const { reject } of this.#open.values()) reject(why);
    this.#open = emptyMap();
  }
}
