/**
 * The environment, checked once and whole. A wrong value never falls back silently to a default: every mistake is
 * named in one {@linkcode ConfigError}.
 */

import { dialectOf, MAX_OPENROUTER_MODELS, MODEL_DIALECTS } from "./model_dialect.ts";
import { QUEUE_POLICIES } from "./protocol/queueing.ts";
import { REASONING_EFFORTS } from "./protocol/reasoning_effort.ts";
import {
  baseUrl,
  durationMs,
  headerName,
  list,
  Mistake,
  namedKeys,
  number,
  oneOf,
  optional,
  orEmpty,
  otherwise,
  path,
  roles,
  text,
  url,
  whole,
} from "./setting.ts";
import { THINK_TAG_POLICIES } from "./think_tags.ts";
import { trustedIssuers } from "./trusted_issuers.ts";

/**
 * What happens to an answer whose worker is gone. `auto` and `continue`: it is continued. `restart`: it starts again.
 * `interrupt`: it ends `interrupted`.
 */
export const CONTINUE_POLICIES = ["auto", "continue", "restart", "interrupt"] as const;
export type ContinuePolicy = (typeof CONTINUE_POLICIES)[number];

/** Models that continue a trailing assistant message. docs/decisions/0063 has the sources. */
const PREFILL_MODELS = [
  "*claude-3*",
  "*claude-*-4",
  "*claude-*-4-2*",
  "*claude-*-4.1*",
  "*claude-*-4-1*",
  "*claude-*-4.5*",
  "*claude-*-4-5*",
  "mistralai/*",
  "mistral-*",
  "codestral-*",
  "ministral-*",
];

/** What becomes of tokens that the shared secret of an older project signed. */
export const HS256_POLICIES = ["auto", "accept", "refuse"] as const;
export type Hs256Policy = (typeof HS256_POLICIES)[number];

/** Every mistake in the environment, one `NAME: what was expected` each. Values are not repeated: some are keys. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`Cannot start: ${problems.join("; ")}`);
    this.problems = problems;
  }
}

const OPENROUTER_URL = "https://openrouter.ai/api/v1";

/** Names and defaults of the environment. `.env.example` lists the same, and a test keeps it so. */
export const environment = {
  // The model
  OPENROUTER_API_KEY: optional(text),
  OPENROUTER_BASE_URL: optional(url),
  OPENROUTER_REFERER: optional(text),
  OPENROUTER_TITLE: optional(text),
  MODEL: otherwise("openai/gpt-4-turbo", text),
  MODEL_FALLBACKS: otherwise([], list),
  ALLOWED_MODELS: otherwise([], list),
  TITLE_MODEL: optional(text),
  MODEL_DIALECT: otherwise("auto", oneOf(...MODEL_DIALECTS)),
  TEMPERATURE: orEmpty(0.7, number(0, 2)),
  MAX_TOKENS: orEmpty(1500, whole(1)),
  REASONING_EFFORT: optional(oneOf(...REASONING_EFFORTS)),
  MAX_PROMPT_TOKENS: otherwise(0, whole(0)),
  SYSTEM_PROMPT: optional(text),
  AGENT_NAME: otherwise("agent_websocket", text),
  MAX_RETRIES: otherwise(2, whole(0, 10)),
  FIRST_TOKEN_TIMEOUT_MS: otherwise(120_000, durationMs(0)),
  STALL_TIMEOUT_MS: otherwise(30_000, durationMs(0)),
  THINK_TAGS: otherwise("show", oneOf(...THINK_TAG_POLICIES)),
  // Sessions and turns
  SESSION_TIMEOUT: otherwise(30, number(0, 35_000)),
  CLEANUP_INTERVAL_MS: otherwise(300_000, durationMs(10)),
  MAX_SESSIONS: otherwise(5000, whole(0)),
  MAX_MEMORY_BYTES: otherwise(160_000_000, whole(0)),
  MAX_HISTORY: otherwise(50, whole(1)),
  MAX_EVENTS: otherwise(1000, whole(1)),
  MAX_QUEUE: otherwise(20, whole(0)),
  QUEUE_POLICY: otherwise("queue", oneOf(...QUEUE_POLICIES)),
  DRAIN_TIMEOUT_MS: otherwise(10_000, durationMs(0)),
  // Surviving the worker
  SESSION_STORE: otherwise("auto", oneOf("auto", "postgres", "memory")),
  TURN_LEASE_MS: otherwise(5000, durationMs(500)),
  CHECKPOINT_INTERVAL_MS: otherwise(500, durationMs(50)),
  CONTINUE_POLICY: otherwise("auto", oneOf(...CONTINUE_POLICIES)),
  PREFILL_MODELS: otherwise(PREFILL_MODELS, list),
  RETENTION_DAYS: otherwise(30, whole(0, 36_500)),
  // Tools
  MAX_STEPS: otherwise(10, whole(1, 1000)),
  TOOL_TIMEOUT_MS: otherwise(30_000, durationMs(1)),
  MAX_TOOL_RESULT_CHARS: otherwise(20_000, whole(200)),
  APPROVAL_TIMEOUT: otherwise(24, number(0.001, 8760)),
  APPROVERS: otherwise(["user"], roles),
  // Connections
  AUTH_MODE: otherwise("required", oneOf("required", "optional", "none")),
  AUTH_ISSUER: optional(url),
  TRUSTED_ISSUERS: otherwise([], trustedIssuers),
  HS256_TOKENS: otherwise("auto", oneOf(...HS256_POLICIES)),
  AUTH_TIMEOUT_MS: otherwise(5000, durationMs(1)),
  TOKEN_EXPIRY_NOTICE_MS: otherwise(60_000, durationMs(0)),
  ALLOWED_ORIGINS: otherwise([], list),
  TRUSTED_ADDRESS_HEADER: optional(headerName),
  TRUSTED_PROXY_HOPS: otherwise(1, whole(0, 20)),
  HEARTBEAT_INTERVAL_MS: otherwise(25_000, durationMs(0)),
  MAX_CONNECTIONS: otherwise(1000, whole(0)),
  MAX_CONNECTIONS_PER_USER: otherwise(10, whole(0)),
  MAX_CONNECTIONS_PER_ADDRESS: otherwise(100, whole(0)),
  ANONYMOUS_SESSIONS_PER_HOUR: otherwise(300, whole(0)),
  MAX_MESSAGE_BYTES: otherwise(65_536, whole(1)),
  MAX_AI_SDK_MESSAGE_BYTES: otherwise(1_048_576, whole(1)),
  MAX_BUFFERED_BYTES: otherwise(1_048_576, whole(1)),
  RATE_LIMIT_PER_MINUTE: otherwise(60, whole(0)),
  RATE_LIMIT_BURST: otherwise(20, whole(1)),
  DAILY_TOKEN_BUDGET: otherwise(0, whole(0)),
  DAILY_COST_BUDGET: otherwise(0, number(0, 1_000_000)),
  // Notifications and live activity
  RELAY: otherwise("auto", oneOf("auto", "off")),
  RELAY_SHARDS: otherwise(8, whole(1, 99)),
  RELAY_MESSAGES_PER_SECOND: otherwise(20, whole(0, 100_000)),
  NOTIFY_RATE_LIMIT_PER_MINUTE: otherwise(600, whole(0)),
  ACTIVITY_PATH: otherwise("/api/v1/activity/live", path),
  ACTIVITY_HEARTBEAT_MS: otherwise(30_000, durationMs(0)),
  ACTIVITY_TIMEOUT_MS: otherwise(120_000, durationMs(0)),
  MAX_CLIENTS: otherwise(100, whole(0)),
  // What Supabase sets
  SUPABASE_URL: optional(baseUrl),
  SUPABASE_PUBLISHABLE_KEYS: otherwise([], namedKeys),
  SUPABASE_SECRET_KEYS: otherwise([], namedKeys),
  SUPABASE_ANON_KEY: optional(text),
  SUPABASE_SERVICE_ROLE_KEY: optional(text),
  SB_REGION: optional(text),
};

type Environment = { [Name in keyof typeof environment]: ReturnType<(typeof environment)[Name]> };

/** What the functions run with. Durations are in milliseconds; 0 switches a limit off. */
export interface Config extends Omit<Environment, "OPENROUTER_BASE_URL" | "SYSTEM_PROMPT"> {
  OPENROUTER_BASE_URL: string;
  SYSTEM_PROMPT: string;
  /** `MODEL`, then `MODEL_FALLBACKS`, each once. */
  models: readonly string[];
  /** What `options.model` and `configure` may name. */
  allowedModels: readonly string[];
  sessionTimeoutMs: number;
  /** `APPROVAL_TIMEOUT`. */
  approvalTimeoutMs: number;
  /** Which proxies are trusted to tell a caller's address. */
  trustedProxies: { header: string | undefined; proxyHops: number };
  publishableKeys: readonly string[];
  secretKeys: readonly string[];
  /** What reaches the project's database and Realtime; undefined where either is not set. */
  project: { supabaseUrl: string; secretKey: string } | undefined;
}

/**
 * Checks the whole environment.
 * Throws {@linkcode ConfigError} naming every mistake. An empty value counts as not set, except for the settings whose empty value has
 * a meaning (`.env.example`).
 */
export function parseConfig(env: Readonly<Record<string, string>>, { needsModel = true } = {}): Config {
  const isSet = (name: keyof Environment): boolean => Object.hasOwn(env, name) && env[name] !== "";
  const problems: string[] = [];
  const known: Partial<Record<keyof Environment, unknown>> = {};
  for (const name of Object.keys(environment) as (keyof Environment)[]) {
    try {
      known[name] = environment[name](Object.hasOwn(env, name) ? env[name] : undefined);
    } catch (error) {
      if (!(error instanceof Mistake)) throw error;
      problems.push(`${name}: ${error.message}`);
    }
  }
  // Of each name what its own setting gave; a mistake has left nothing.
  const partial = known as Partial<Environment>;
  // A server of one's own may need no key; OpenRouter does. Who only notifies asks no model.
  if (needsModel && !isSet("OPENROUTER_API_KEY") && !isSet("OPENROUTER_BASE_URL")) {
    problems.push("OPENROUTER_API_KEY: must be set (or OPENROUTER_BASE_URL, for a server that needs no key)");
  }
  const baseUrl = partial.OPENROUTER_BASE_URL ?? OPENROUTER_URL;
  const models = modelsOf(partial);
  const isOpenRouter = dialectOf(baseUrl, partial.MODEL_DIALECT) === "openrouter";
  if (needsModel && isOpenRouter && models.length > MAX_OPENROUTER_MODELS) {
    problems.push("MODEL_FALLBACKS: must have at most 2 models, because OpenRouter takes three with MODEL");
  }
  if (env.AUTH_MODE !== "none" && !isSet("SUPABASE_URL")) {
    problems.push("SUPABASE_URL: must be set, to check tokens with (or AUTH_MODE=none, to let everyone in)");
  }
  const own = partial.AUTH_ISSUER ?? `${partial.SUPABASE_URL}/auth/v1`;
  if (partial.TRUSTED_ISSUERS?.some(({ issuer }) => issuer === own)) {
    problems.push("TRUSTED_ISSUERS: must not name the project's own issuer, whose tokens count anyway");
  }
  const { SESSION_STORE: store, TURN_LEASE_MS: leaseMs, CHECKPOINT_INTERVAL_MS: checkpointMs } = partial;
  if (leaseMs !== undefined && checkpointMs !== undefined && leaseMs < 2 * checkpointMs) {
    problems.push("TURN_LEASE_MS: must be at least twice CHECKPOINT_INTERVAL_MS, which renews it");
  }
  if (store === "postgres" && (!isSet("SUPABASE_URL") || secretKeysOf(partial).length === 0)) {
    problems.push("SESSION_STORE: postgres needs SUPABASE_URL and SUPABASE_SECRET_KEYS");
  }
  if (problems.length > 0) throw new ConfigError(problems);
  const values = partial as Environment;
  const secretKeys = secretKeysOf(values);
  const [secretKey] = secretKeys;
  return {
    ...values,
    OPENROUTER_BASE_URL: baseUrl,
    SYSTEM_PROMPT: values.SYSTEM_PROMPT ??
      `You are ${values.AGENT_NAME}, an AI assistant communicating via WebSocket.`,
    models,
    allowedModels: values.ALLOWED_MODELS.length > 0 ? values.ALLOWED_MODELS : models,
    trustedProxies: trustedProxiesOf(values),
    // Rounded up: the smallest fraction must not become 0, which means never.
    sessionTimeoutMs: Math.ceil(values.SESSION_TIMEOUT * 60_000),
    approvalTimeoutMs: Math.ceil(values.APPROVAL_TIMEOUT * 3_600_000),
    publishableKeys: [...values.SUPABASE_PUBLISHABLE_KEYS, ...present(values.SUPABASE_ANON_KEY)],
    secretKeys,
    project: values.SUPABASE_URL === undefined || secretKey === undefined
      ? undefined
      : { supabaseUrl: values.SUPABASE_URL, secretKey },
  };
}

function modelsOf({ MODEL, MODEL_FALLBACKS = [] }: Partial<Environment>): readonly string[] {
  return [...new Set([...present(MODEL), ...MODEL_FALLBACKS])];
}

/** On the platform Cloudflare overwrites `cf-connecting-ip`; anywhere else the caller could have written it. */
function trustedProxiesOf(
  { TRUSTED_ADDRESS_HEADER, TRUSTED_PROXY_HOPS, SB_REGION }: Environment,
): Config["trustedProxies"] {
  const isPlatform = SB_REGION !== undefined && TRUSTED_PROXY_HOPS > 0;
  return {
    header: TRUSTED_ADDRESS_HEADER ?? (isPlatform ? "cf-connecting-ip" : undefined),
    proxyHops: TRUSTED_PROXY_HOPS,
  };
}

function secretKeysOf(values: Partial<Environment>): readonly string[] {
  return [...values.SUPABASE_SECRET_KEYS ?? [], ...present(values.SUPABASE_SERVICE_ROLE_KEY)];
}

function present(value: string | undefined): readonly string[] {
  return value === undefined ? [] : [value];
}
