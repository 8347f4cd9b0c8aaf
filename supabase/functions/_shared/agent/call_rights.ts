/**
 * The rights of one call: the user's token or the secret key, until the call ends. The token is nowhere else: supabase-js gets a
 * `fetch` that adds it, and never the token itself.
 */

import type { Clock } from "../ports/runtime.ts";
import { expiryOf } from "../token_claims.ts";
import { GivenUp } from "./bounded.ts";
import type { ActsAs } from "./tool.ts";

type SupabaseJs = Pick<typeof import("@supabase/supabase-js"), "createClient">;
type SupabaseClient = import("@supabase/supabase-js").SupabaseClient;

/** The project as tools reach it. */
export interface ToolProject {
  supabaseUrl: string | undefined;
  publishableKey: string | undefined;
  secretKey: string | undefined;
}

export interface CallRightsOptions {
  acts: ActsAs;
  /** The user's access token; undefined in an anonymous session, and for `service` and `nobody`. */
  token: string | undefined;
  project: ToolProject;
  /** Of the call: ends its requests. */
  signal: AbortSignal;
  clock: Pick<Clock, "now">;
  fetch: typeof fetch;
}

export class CallRights {
  readonly #options: Omit<CallRightsOptions, "token">;
  #token: string | undefined;
  readonly #expiresAt: number;
  #client: SupabaseClient | undefined;
  #hasEnded = false;

  constructor({ token, ...options }: CallRightsOptions) {
    this.#options = options;
    this.#token = token;
    this.#expiresAt = token === undefined ? Infinity : expiryOf(token);
  }

  /** The client of supabase-js. Throws where the tool has none, and after the call. */
  client(js: SupabaseJs | undefined): SupabaseClient {
    if (this.#client !== undefined) return this.#client;
    const { url, key } = this.#access();
    if (js === undefined) throw new Error("Cannot reach the project: supabase-js is not loaded");
    return this.#client = js.createClient(url, key, {
      // Without a token of its own it makes no auth client, looks for no session, and gives Realtime none. `#fetch` adds it.
      accessToken: () => Promise.resolve(null),
      global: { fetch: (input, init) => this.fetch(input, init) },
    });
  }

  /** Sends a request to the project, with the rights of this call. Anything else than the project's URL is refused. */
  fetch(input: RequestInfo | URL, init: RequestInit = {}): Promise<Response> {
    const { clock, signal, fetch } = this.#options;
    if (this.#hasEnded) return Promise.reject(ended());
    // An answer, not an error: supabase-js would send the request again and again.
    if (this.#expiresAt <= clock.now()) {
      const message = "the user's token has expired";
      return Promise.resolve(Response.json({ message, code: "token_expired" }, { status: 401 }));
    }
    const { url, key } = this.#access();
    const target = new URL(input instanceof Request ? input.url : input);
    if (target.origin !== new URL(url).origin) {
      return Promise.reject(new Error("Cannot send the rights of a call anywhere but to the project"));
    }
    const headers = new Headers(init.headers);
    headers.set("apikey", key);
    headers.set("authorization", `Bearer ${this.#token ?? key}`);
    const signals = [signal, ...(init.signal ? [init.signal] : [])];
    return fetch(input, { ...init, headers, signal: AbortSignal.any(signals) });
  }

  /** The URL of an edge function of the project. Throws without a project. */
  functionUrl(name: string): string {
    return `${this.#access().url}/functions/v1/${name}`;
  }

  /** Forgets the token. What the tool has kept of this call reaches nothing any more. */
  end(): void {
    this.#hasEnded = true;
    this.#token = undefined;
    if ((this.#client?.getChannels().length ?? 0) > 0) void this.#client?.removeAllChannels();
    this.#client = undefined;
  }

  #access(): { url: string; key: string } {
    const { acts, project } = this.#options;
    if (this.#hasEnded) throw ended();
    if (acts === "nobody") throw new Error('Cannot reach the project: the tool is as: "nobody"');
    const key = acts === "service" ? project.secretKey : project.publishableKey;
    if (project.supabaseUrl === undefined || key === undefined) {
      const name = acts === "service" ? "SUPABASE_SECRET_KEYS" : "SUPABASE_PUBLISHABLE_KEYS";
      throw new Error(`Cannot reach the project: SUPABASE_URL and ${name} must be set`);
    }
    return { url: project.supabaseUrl, key };
  }
}

function ended(): GivenUp {
  return new GivenUp("Cannot reach the project: the call has ended");
}
