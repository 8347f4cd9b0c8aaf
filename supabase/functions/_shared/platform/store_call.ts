/** One call of the database's functions, with its answer read. */

import { AgentError } from "../errors.ts";
import { readAnswer } from "./store_answers.ts";
import { RefusedCall, type StoreRpc } from "./store_rpc.ts";

export interface StoreCall<T> {
  name: string;
  args: Record<string, unknown>;
  withinMs: number;
  /** Reads the answer. */
  use(answer: unknown): T;
}

/** Rejects with `store_unavailable`, or with `internal` where the database refuses the call itself. */
export async function callStore<T>(rpc: StoreRpc, { name, args, withinMs, use }: StoreCall<T>): Promise<T> {
  try {
    return readAnswer(await rpc.call(name, args, withinMs), use);
  } catch (error) {
    if (!(error instanceof RefusedCall)) throw error;
    throw new AgentError("internal", "Cannot use the session store: the database refused the call", {
      cause: error,
    });
  }
}
