/**
 * Users' tokens, checked with Supabase Auth.
 *
 * What supabase-js 2.119.1's `getClaims` does was read in its source (auth-js, GoTrueClient.ts): with a key in hand it
 * checks the signature, and `exp`; never `nbf`, `aud`, `role`, nor that the algorithm is one that we want. Left to itself
 * it fetches the key set for every token with an unknown `kid`, once for each of those waiting, and then asks the auth
 * server as well, all without a deadline. So it is given the key, and all the rest is done here.
 */

import { AgentError } from "../errors.ts";
import type { Clock, IdentityVerifier, VerifiedUser } from "../ports.ts";
import { readAccessToken, refused } from "./access_token.ts";
import { deadlineFetch, type Fetch } from "./deadline_fetch.ts";
import { SigningKeys } from "./signing_keys.ts";
import { TokenVerdicts } from "./token_verdicts.ts";

type AuthError = import("@supabase/supabase-js").AuthError;
type SupabaseJs = Pick<typeof import("@supabase/supabase-js"), "AuthClient">;
type AuthClient = InstanceType<SupabaseJs["AuthClient"]>;

export interface SupabaseVerifierOptions {
  /** The project's URL. */
  supabaseUrl: string;
  /** A publishable or anon key, which the gateway before the auth server wants. Default: none. */
  apiKey?: string | undefined;
  clock: Clock;
  /** How long the auth server may take. Default 5,000. */
  timeoutMs?: number;
  /** Loads supabase-js. Default: a dynamic import. */
  load?(): Promise<SupabaseJs>;
}

/**
 * Verifies ES256 and RS256 tokens by the project's signing keys, on this machine; HS256 ones by asking the auth server,
 * as only it has the secret. supabase-js is loaded for the first token that passes the cheap checks: it takes some
 * 30 ms of a worker's CPU.
 */
export function createSupabaseVerifier(options: SupabaseVerifierOptions): IdentityVerifier {
  return new SupabaseVerifier(options);
}

class SupabaseVerifier implements IdentityVerifier {
  readonly #authUrl: string;
  readonly #headers: Record<string, string>;
  readonly #clock: Clock;
  readonly #fetch: Fetch;
  readonly #load: () => Promise<SupabaseJs>;
  readonly #keys: SigningKeys;
  readonly #verdicts: TokenVerdicts;
  #client: Promise<AuthClient> | undefined;

  constructor(options: SupabaseVerifierOptions) {
    const { supabaseUrl, apiKey, clock, timeoutMs = 5000, load = () => import("@supabase/supabase-js") } =
      options;
    this.#authUrl = `${supabaseUrl.replace(/\/+$/, "")}/auth/v1`;
    this.#headers = apiKey ? { apikey: apiKey } : {};
    this.#clock = clock;
    this.#fetch = deadlineFetch(clock, timeoutMs);
    this.#load = load;
    this.#keys = new SigningKeys({
      url: `${this.#authUrl}/.well-known/jwks.json`,
      headers: this.#headers,
      clock,
      fetch: this.#fetch,
    });
    this.#verdicts = new TokenVerdicts(clock);
  }

  async verify(token: string): Promise<VerifiedUser> {
    const claimed = readAccessToken(token, this.#clock.now());
    if (claimed.alg === "HS256") {
      await this.#verdicts.of(token, () => this.#askAuthServer(token, claimed.userId));
    } else {
      await this.#checkSignature(token, claimed.kid);
    }
    const { userId, expiresAt, appMetadata } = claimed;
    return { userId, expiresAt, appMetadata };
  }

  async #checkSignature(token: string, kid: string): Promise<void> {
    const key = await this.#keys.find(kid).catch((cause: unknown) => {
      throw unavailable(cause);
    });
    if (key === undefined) throw refused("its signing key is unknown");
    const auth = await this.#auth();
    // Its time was checked by our own clock. A wrong signature is answered; a key of another algorithm, or for another
    // use, makes WebCrypto throw.
    const { error } = await auth.getClaims(token, { jwks: { keys: [key] }, allowExpired: true })
      .catch((thrown: unknown) => ({ error: thrown }));
    if (error !== null) throw refused("its signature is wrong", error);
  }

  /** What `getClaims` does for HS256, but for its not looking at whom the auth server names. */
  async #askAuthServer(token: string, userId: string): Promise<void> {
    const auth = await this.#auth();
    const { data, error } = await auth.getUser(token);
    if (error !== null) {
      throw isRefusal(error) ? refused("the auth server refused it", error) : unavailable(error);
    }
    if (data.user.id !== userId) {
      throw unavailable(new Error("The auth server did not answer with the token's user"));
    }
  }

  #auth(): Promise<AuthClient> {
    return this.#client ??= this.#load().then(
      // Not `createClient`: that would make the clients of Realtime, storage and the database as well.
      ({ AuthClient }) =>
        new AuthClient({
          url: this.#authUrl,
          headers: this.#headers,
          fetch: this.#fetch,
          persistSession: false,
          autoRefreshToken: false,
          detectSessionInUrl: false,
          skipAutoInitialize: true,
        }),
    ).catch((cause: unknown) => {
      this.#client = undefined;
      throw cause;
    });
  }
}

/** Whether the auth server looked at the token and refused it; else it is busy, broken, or something else answered. */
function isRefusal({ name, status, code }: AuthError): boolean {
  if (name === "AuthSessionMissingError" || status === 401 || status === 403) return true;
  return (status === 400 || status === 404) && code !== undefined;
}

function unavailable(cause: unknown): AgentError {
  return new AgentError("store_unavailable", "Cannot check the token: the auth server did not answer", {
    retryable: true,
    cause,
  });
}
