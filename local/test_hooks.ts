/** The HTTP hooks for tests and the playground, with `LOCAL_TEST_HOOKS=1` only. */

import { base64url, type CryptoKey, exportSPKI, SignJWT } from "jose";
import * as z from "zod";
import { type DatabaseControl, DISTURBANCES } from "./database_trouble.ts";
import { createSigningKey, type LocalKeys, type SigningKey } from "./keys.ts";
import type { RealtimeControl } from "./realtime/realtime.ts";
import { type ActivityAsk, UNLOAD_REASONS, type WatcherInfo } from "./worker_messages.ts";
import type { WorkerPool } from "./worker_pool.ts";

/** The function that has the live activity. */
const WATCHED_FUNCTION = "agent_websocket";
/** How long a token is valid unless its claims say otherwise, in seconds. */
const TOKEN_LIFETIME_S = 3600;

const tokenRequest = z.strictObject({
  /** The algorithm in the header, and of the signature. */
  alg: z.enum(["ES256", "RS256", "HS256", "none"]).default("ES256"),
  /** Override the default claims; null removes a claim. */
  claims: z.record(z.string(), z.unknown()).default({}),
  /** The key's id in the header. Default: the id of the key; HS256 has none. null removes it. */
  kid: z.string().nullable().optional(),
  /**
   * `stack`: the key that verifies. `wrong`: another key of the same type. HS256 also accepts the keys of the algorithm
   * confusion attack: the bytes of the public ES256 key as the secret, as PEM, as JWK text or as the raw point.
   */
  key: z.enum(["stack", "wrong", "public_pem", "public_jwk", "public_raw"]).default("stack"),
});
/** The body of `POST /__local/token`. Every field is optional. */
export type TokenRequest = z.input<typeof tokenRequest>;

const workerRequest = z.strictObject({
  function: z.string(),
  /** The worker's number in the list. Default: the oldest worker that accepts requests. */
  worker: z.int().optional(),
  action: z.enum(["beforeunload", "kill"]),
  reason: z.enum(UNLOAD_REASONS).default("wall_clock"),
});

const realtimeRequest = z.strictObject({
  /** `cut` drops every connection; `pause` refuses new ones until `resume`. */
  action: z.enum(["cut", "pause", "resume", "overload", "relieve"]),
});

const databaseRequest = z.strictObject({
  mode: z.enum(DISTURBANCES),
  forMs: z.int().min(0),
  delayMs: z.int().min(0).exactOptional(),
});

/** Events for the hub's `broadcast`. They are not checked, so that a test can emit events that no agent would. */
const activityRequest = z.union([
  z.record(z.string(), z.unknown()),
  z.array(z.record(z.string(), z.unknown())),
], "an event, or a list of events");

export interface TestHooksOptions {
  keys: LocalKeys;
  /** The stack's own address. */
  url: string;
  pools: ReadonlyMap<string, WorkerPool>;
  database: DatabaseControl;
  realtime: RealtimeControl;
}

export class TestHooks {
  readonly #options: TestHooksOptions;
  /** The pair for RS256 tokens: generated at the first use, and in the key set from then on. */
  #rs256: Promise<SigningKey> | undefined;

  constructor(options: TestHooksOptions) {
    this.#options = options;
  }

  /** The verification keys besides the stack's own ES256 key. */
  async publicKeys(): Promise<readonly SigningKey[]> {
    return this.#rs256 === undefined ? [] : [await this.#rs256];
  }

  /** Signs a user's token. Rejects with a `ZodError` for an invalid request. */
  async token(request: TokenRequest): Promise<string> {
    const { alg, claims, kid, key } = tokenRequest.parse(request);
    const now = Math.floor(Date.now() / 1000);
    const payload = Object.fromEntries(
      Object.entries({
        iss: `${this.#options.url}/auth/v1`,
        sub: crypto.randomUUID(),
        aud: "authenticated",
        role: "authenticated",
        session_id: crypto.randomUUID(),
        iat: now,
        exp: now + TOKEN_LIFETIME_S,
        ...claims,
      }).filter(([, value]) => value !== null),
    );
    const signing = alg === "none" ? undefined : await this.#signingKey(alg, key);
    const keyId = kid === undefined ? signing?.kid : kid ?? undefined;
    const header = { alg, typ: "JWT", ...(keyId === undefined ? {} : { kid: keyId }) };
    // jose rightly refuses to create an unsigned token with a custom header.
    if (signing === undefined) return `${encode(header)}.${encode(payload)}.`;
    return await new SignJWT(payload).setProtectedHeader(header).sign(signing.key);
  }

  /** Answers a request below `/__local/`; undefined if there is no such hook. */
  async handle(request: Request): Promise<Response | undefined> {
    const { pathname, searchParams } = new URL(request.url);
    const { pools, database, realtime } = this.#options;
    try {
      switch (`${request.method} ${pathname}`) {
        case "POST /__local/token":
          return Response.json({ token: await this.token(tokenRequest.parse(await body(request))) });
        case "GET /__local/workers":
          return Response.json([...pools.values()].flatMap((pool) => pool.status()));
        case "POST /__local/worker": {
          const { function: name, worker, action, reason } = workerRequest.parse(await body(request));
          const found = pools.get(name)?.disturb(action, {
            reason,
            ...(worker === undefined ? {} : { number: worker }),
          });
          return found
            ? Response.json({ done: true })
            : Response.json({ code: "NOT_FOUND", message: `There is no such worker of ${name}` }, {
              status: 404,
            });
        }
        case "POST /__local/database":
          database.disturb(databaseRequest.parse(await body(request)));
          return Response.json({ done: true });
        case "GET /__local/realtime":
          return Response.json(realtime.stats());
        case "POST /__local/realtime":
          realtime[realtimeRequest.parse(await body(request)).action]();
          return Response.json({ done: true });
        case "POST /__local/activity/emit": {
          const parsed = activityRequest.parse(await body(request));
          const timestamp = new Date().toISOString();
          const events = [parsed].flat().map((event) => ({ timestamp, ...event }));
          const userId = searchParams.get("user_id") ?? undefined;
          const asked = await this.#askActivity({
            action: "emit",
            events,
            ...(userId !== undefined && { userId }),
          });
          return Response.json({ done: true, workers: asked.size });
        }
        case "GET /__local/activity/clients": {
          const asked = await this.#askActivity({ action: "clients" });
          return Response.json(
            [...asked].flatMap(([worker, watchers]) => watchers.map((watcher) => ({ ...watcher, worker }))),
          );
        }
        case "POST /__local/activity/close": {
          const asked = await this.#askActivity({ action: "close" });
          return Response.json({ done: true, workers: asked.size });
        }
        default:
          return undefined;
      }
    } catch (error) {
      if (!(error instanceof z.ZodError) && !(error instanceof SyntaxError)) throw error;
      const message = error instanceof z.ZodError ? z.prettifyError(error) : "The body must be JSON";
      return Response.json({ code: "BAD_REQUEST", message }, { status: 400 });
    }
  }

  /** The answers of every worker of the agent, by worker number. */
  async #askActivity(ask: ActivityAsk): Promise<Map<number, WatcherInfo[]>> {
    return await this.#options.pools.get(WATCHED_FUNCTION)?.askActivity(ask) ?? new Map();
  }

  async #signingKey(
    alg: Exclude<z.output<typeof tokenRequest>["alg"], "none">,
    key: z.output<typeof tokenRequest>["key"],
  ): Promise<{ key: CryptoKey | Uint8Array; kid?: string }> {
    const { keys } = this.#options;
    if (alg === "HS256") {
      return { key: await secretBytes(key, keys) };
    }
    if (alg === "RS256") this.#rs256 ??= createSigningKey("RS256");
    const right = alg === "RS256" && this.#rs256 !== undefined ? await this.#rs256 : keys.es256;
    // A wrong key under the right key's id: a forged signature, not an unknown key.
    const used = key === "stack" ? right : await createSigningKey(alg);
    return { key: used.privateKey, kid: right.kid };
  }
}

async function secretBytes(key: z.output<typeof tokenRequest>["key"], keys: LocalKeys): Promise<Uint8Array> {
  const { publicKey, publicJwk } = keys.es256;
  switch (key) {
    case "stack":
      return new TextEncoder().encode(keys.jwtSecret);
    case "wrong":
      return new TextEncoder().encode(`not ${keys.jwtSecret}`);
    case "public_pem":
      return new TextEncoder().encode(await exportSPKI(publicKey));
    case "public_jwk":
      return new TextEncoder().encode(JSON.stringify(publicJwk));
    case "public_raw":
      return new Uint8Array(await crypto.subtle.exportKey("raw", publicKey));
  }
}

/** The JSON body of a request; `{}` if there is no body. Rejects with `SyntaxError`. */
async function body(request: Request): Promise<unknown> {
  const text = await request.text();
  return text === "" ? {} : JSON.parse(text);
}

function encode(part: unknown): string {
  return base64url.encode(JSON.stringify(part));
}
