/** The environment of a function: the user's variables, with the platform's variables on top. */

import type { LocalKeys } from "./keys.ts";

export interface FunctionsEnvOptions {
  /** The user's environment, `.env` included. */
  env: Readonly<Record<string, string>>;
  /** The stack's own address, such as `http://127.0.0.1:54321`. */
  url: string;
  keys: LocalKeys;
  /** Where the mock model listens, if it is used. */
  modelUrl?: string;
  /** Whether `/rest/v1` is served. */
  hasDatabase: boolean;
}

export function functionsEnv(
  { env, url, keys, modelUrl, hasDatabase }: FunctionsEnvOptions,
): Record<string, string> {
  const defaults = {
    // Anyone may try the demo, and sign-in works too. The platform's own default is stricter.
    AUTH_MODE: "optional",
    // Lite signs its users' tokens with the shared secret. The stack also has its own signing key.
    HS256_TOKENS: "accept",
    // All clients on this machine have the same address.
    MAX_CONNECTIONS_PER_ADDRESS: "0",
    ANONYMOUS_SESSIONS_PER_HOUR: "0",
    ...(hasDatabase ? {} : { SESSION_STORE: "memory" }),
    SB_REGION: "local",
  };
  return {
    ...defaults,
    // An empty value does not undo a default of the stack. It may mean something to the function.
    ...Object.fromEntries(
      Object.entries(env).filter(([name, value]) => value !== "" || !Object.hasOwn(defaults, name)),
    ),
    ...(modelUrl === undefined ? {} : { OPENROUTER_BASE_URL: modelUrl }),
    SUPABASE_URL: url,
    SUPABASE_PUBLISHABLE_KEYS: JSON.stringify({ default: keys.publishableKey }),
    SUPABASE_SECRET_KEYS: JSON.stringify({ default: keys.secretKey }),
    SUPABASE_ANON_KEY: keys.anonKey,
    SUPABASE_SERVICE_ROLE_KEY: keys.serviceRoleKey,
    SUPABASE_JWKS: JSON.stringify({ keys: [keys.es256.publicJwk] }),
  };
}
