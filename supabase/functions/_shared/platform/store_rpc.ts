/** Calls of the database's functions through supabase-js: with a deadline, retried until there is an answer. */

import { AgentError } from "../errors.ts";
import type { Clock } from "../ports/runtime.ts";
import { fromJsonbText, toJsonbText } from "./jsonb_text.ts";

/** What is used of supabase-js. */
export type StoreJs = Pick<typeof import("@supabase/supabase-js"), "createClient">;
type Client = import("@supabase/supabase-js").SupabaseClient;

/** Retries wait 0.5 to 1 times these. */
const FIRST_RETRY_MS = 100;
const MAX_RETRY_MS = 2000;
/** The least time for an attempt, however close the deadline is. */
const MIN_ATTEMPT_MS = 1000;

export interface StoreRpcOptions {
  /** The project's URL, without a slash at its end. */
  supabaseUrl: string;
  /** `sb_secret_…`, or the legacy service role key. */
  secretKey: string;
  clock: Clock;
  /** How long one attempt may take. */
  attemptMs: number;
  /** From 0 up to 1. */
  random(): number;
  load(): Promise<StoreJs>;
}

/** The database looked at the call and refused it: the same call will be refused again. */
export class RefusedCall extends Error {
  override readonly name = "RefusedCall";
  readonly code: string;
  readonly status: number;

  constructor(call: string, { code, status, message }: Refusal) {
    super(`Cannot call ${call}: HTTP ${status} ${code}: ${message}`);
    this.code = code;
    this.status = status;
  }
}

export interface Refusal {
  /** PostgreSQL's or PostgREST's; empty where the answer was neither's. */
  code: string;
  status: number;
  message: string;
}

export class StoreRpc {
  readonly #options: StoreRpcOptions;
  #client: Promise<Client> | undefined;

  constructor(options: StoreRpcOptions) {
    this.#options = options;
  }

  /**
   * Calls a function whose repetition does no harm, for at most about `withinMs`. Rejects with {@linkcode RefusedCall}, or
   * with `store_unavailable` where no answer came: then it may have been done, or may still be. A function that is unknown
   * is asked for again as well, unless `isFinal` says so: PostgREST's schema cache may be stale.
   */
  async call(
    name: string,
    args: Record<string, unknown>,
    withinMs: number,
    isFinal: (problem: Refusal) => boolean = isLockedOut,
  ): Promise<unknown> {
    const { clock, attemptMs, random } = this.#options;
    const endsAt = clock.now() + withinMs;
    for (let retryMs = FIRST_RETRY_MS;; retryMs = Math.min(2 * retryMs, MAX_RETRY_MS)) {
      const leftMs = Math.max(endsAt - clock.now(), MIN_ATTEMPT_MS);
      const answer = await this.#attempt(name, args, Math.min(attemptMs, leftMs));
      if ("data" in answer) return answer.data;
      const { problem } = answer;
      if (isRefusal(problem)) throw new RefusedCall(name, problem);
      const pauseMs = retryMs * (0.5 + random() / 2);
      if (clock.now() + pauseMs >= endsAt || isFinal(problem)) {
        throw storeUnavailable(new RefusedCall(name, problem));
      }
      await new Promise<void>((resolve) => void clock.after(pauseMs, resolve));
    }
  }

  async #attempt(
    name: string,
    args: Record<string, unknown>,
    timeoutMs: number,
  ): Promise<{ data: unknown } | { problem: Refusal }> {
    const controller = new AbortController();
    const cancel = this.#options.clock.after(timeoutMs, () => controller.abort());
    try {
      const client = await this.#connected();
      const { data, error, status } = await client.rpc(name, args).abortSignal(controller.signal);
      if (error === null) return { data };
      const message = controller.signal.aborted ? `no answer within ${timeoutMs} ms` : error.message;
      return { problem: { code: error.code ?? "", status, message } };
    } catch (error) {
      // It could not be loaded; or an answer was no JSON.
      return {
        problem: { code: "", status: 0, message: error instanceof Error ? error.message : "unknown" },
      };
    } finally {
      cancel();
    }
  }

  #connected(): Promise<Client> {
    const { supabaseUrl, secretKey, load } = this.#options;
    return this.#client ??= load().then(({ createClient }) =>
      createClient(supabaseUrl, secretKey, {
        // Not the auth client: it would look for a session before each call, and in the end take the key.
        accessToken: () => Promise.resolve(secretKey),
        global: { fetch: jsonbFetch },
      })
    ).catch((cause: unknown) => {
      this.#client = undefined;
      throw cause;
    });
  }
}

/** A `fetch` of JSON that `jsonb` can hold, either way. */
const jsonbFetch: typeof fetch = async (input, init) => {
  const body = typeof init?.body === "string" ? toJsonbText(init.body) : init?.body;
  const response = await fetch(input, { ...init, body: body ?? null });
  const text = await response.text();
  // Read here, and only here. A new Response would cost more than all the rest.
  return Object.assign(response, { text: () => Promise.resolve(fromJsonbText(text)) });
};

/** Whether it was about the call itself; else the gateway or the database is away, busy or not ready yet. */
function isRefusal({ status, code }: Refusal): boolean {
  // Deadlock, time limits and the like have codes of their own, whatever the status.
  if (/^(08|25|40|53|55|57|58|XX)/.test(code)) return false;
  return status >= 400 && status < 500 && ![401, 403, 404, 408, 425, 429].includes(status);
}

/** The key is not accepted: retrying will not help, but the call itself was valid. */
function isLockedOut({ status }: Refusal): boolean {
  return status === 401 || status === 403;
}

/**
 * PostgREST's code and PostgreSQL's for a function that is not there. No other 404 says so: a gateway's, a page of HTML.
 */
export function isMissingFunction({ code }: Pick<Refusal, "code">): boolean {
  return code === "PGRST202" || code === "42883";
}

/** What ends the question whether the store is there. */
export function isNoStore(problem: Refusal): boolean {
  return isLockedOut(problem) || isMissingFunction(problem);
}

/** `store_unavailable`, retryable. */
export function storeUnavailable(cause: unknown): AgentError {
  return new AgentError("store_unavailable", "Cannot reach the session store", { retryable: true, cause });
}
