/**
 * The environment, checked once and whole. A wrong value never falls back silently to a default: every mistake is
 * named in one {@linkcode ConfigError}.
 */

import * as z from "zod";
import { CONTINUE_POLICIES, QUEUE_POLICIES } from "./protocol/client_frames.ts";

/** Every mistake in the environment, one `NAME: what was expected` each. Values are not repeated: some are keys. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`Cannot start: ${problems.join("; ")}`);
    this.problems = problems;
  }
}

const text = z.string().trim().min(1, "must not be empty");
/** A number from `min` up; the text must be a plain decimal, so that "1e3", "0x10" and " " are mistakes. */
function number(min: number, max: number): z.ZodType<number, string> {
  return z.string().regex(/^-?\d+(\.\d+)?$/, "must be a number").transform(Number)
    .pipe(inRange(min, max));
}
function whole(min: number, max = Number.MAX_SAFE_INTEGER): z.ZodType<number, string> {
  return z.string().regex(/^-?\d+$/, "must be a whole number").transform(Number)
    .pipe(inRange(min, max));
}
function inRange(min: number, max: number): z.ZodNumber {
  // Its own words are for Infinity, which enough digits make.
  return z.number(`must be ${max} or less`).min(min, `must be ${min} or more`).max(
    max,
    `must be ${max} or less`,
  );
}
/** A timer's length: what `setTimeout` can hold. */
const durationMs = (min: number): z.ZodType<number, string> => whole(min, 2_147_483_647);
const list = z.string().transform((value) =>
  value.split(",").map((item) => item.trim()).filter((item) => item !== "")
);
/** Supabase's JSON objects of named keys, as a list of the keys. */
const namedKeys = z.string().transform((value, context) => {
  try {
    const keys = z.record(z.string(), z.string().min(1)).safeParse(JSON.parse(value));
    if (keys.success) return Object.values(keys.data);
  } catch {
    // Not JSON: the same mistake as the wrong shape.
  }
  context.addIssue({ code: "custom", message: "must be a JSON object of named keys" });
  return z.NEVER;
});

/** Names and defaults of the environment. `.env.example` lists the same, and a test keeps it so. */
export const environment = z.object({
  // The model
  OPENROUTER_API_KEY: text.optional(),
  OPENROUTER_BASE_URL: z.url({ protocol: /^https?$/, error: "must be an http or https URL" }).optional(),
  OPENROUTER_REFERER: text.optional(),
  OPENROUTER_TITLE: text.optional(),
  MODEL: text.default("openai/gpt-4-turbo"),
  MODEL_FALLBACKS: list.default([]),
  ALLOWED_MODELS: list.default([]),
  TEMPERATURE: number(0, 2).default(0.7),
  MAX_TOKENS: whole(1).default(1500),
  SYSTEM_PROMPT: text.optional(),
  AGENT_NAME: text.default("agent_websocket"),
  MAX_RETRIES: whole(0, 10).default(2),
  FIRST_TOKEN_TIMEOUT_MS: durationMs(0).default(120_000),
  STALL_TIMEOUT_MS: durationMs(0).default(30_000),
  // Sessions and turns
  SESSION_TIMEOUT: number(0, 35_000).default(30),
  CLEANUP_INTERVAL_MS: durationMs(10).default(300_000),
  MAX_SESSIONS: whole(0).default(5000),
  MAX_HISTORY: whole(1).default(50),
  MAX_EVENTS: whole(1).default(1000),
  MAX_QUEUE: whole(0).default(20),
  QUEUE_POLICY: z.enum(QUEUE_POLICIES, "must be queue, reject, interrupt or latest").default("queue"),
  DRAIN_TIMEOUT_MS: durationMs(0).default(10_000),
  // Surviving the worker
  SESSION_STORE: z.enum(["auto", "postgres", "memory"], "must be auto, postgres or memory").default("auto"),
  TURN_LEASE_MS: durationMs(500).default(5000),
  CHECKPOINT_INTERVAL_MS: durationMs(50).default(500),
  CONTINUE_POLICY: z.enum(CONTINUE_POLICIES, "must be continue, restart or interrupt").default("continue"),
  RETENTION_DAYS: whole(0, 36_500).default(30),
  // Connections
  AUTH_MODE: z.enum(["required", "optional", "none"], "must be required, optional or none").default(
    "required",
  ),
  AUTH_TIMEOUT_MS: durationMs(1).default(5000),
  TOKEN_EXPIRY_NOTICE_MS: durationMs(0).default(60_000),
  ALLOWED_ORIGINS: list.default([]),
  HEARTBEAT_INTERVAL_MS: durationMs(0).default(25_000),
  MAX_CONNECTIONS: whole(0).default(1000),
  MAX_CONNECTIONS_PER_USER: whole(0).default(10),
  MAX_MESSAGE_BYTES: whole(1).default(65_536),
  MAX_BUFFERED_BYTES: whole(1).default(1_048_576),
  RATE_LIMIT_PER_MINUTE: whole(0).default(60),
  RATE_LIMIT_BURST: whole(1).default(20),
  DAILY_TOKEN_BUDGET: whole(0).default(0),
  // Notifications and live activity
  RELAY: z.enum(["auto", "off"], "must be auto or off").default("auto"),
  RELAY_SHARDS: whole(1, 99).default(8),
  NOTIFY_RATE_LIMIT_PER_MINUTE: whole(0).default(600),
  ACTIVITY_PATH: text.regex(/^\/[\w./-]*[\w.-]$/, "must be a path such as /api/v1/activity/live").default(
    "/api/v1/activity/live",
  ),
  ACTIVITY_HEARTBEAT_MS: durationMs(0).default(30_000),
  ACTIVITY_TIMEOUT_MS: durationMs(0).default(120_000),
  MAX_CLIENTS: whole(0).default(100),
  // What Supabase sets
  SUPABASE_URL: z.url({ protocol: /^https?$/, error: "must be an http or https URL" }).optional(),
  SUPABASE_PUBLISHABLE_KEYS: namedKeys.default([]),
  SUPABASE_SECRET_KEYS: namedKeys.default([]),
  SUPABASE_ANON_KEY: text.optional(),
  SUPABASE_SERVICE_ROLE_KEY: text.optional(),
});

type Environment = z.output<typeof environment>;

/** What the functions run with. Durations are in milliseconds; 0 switches a limit off. */
export interface Config extends Omit<Environment, "OPENROUTER_BASE_URL" | "SYSTEM_PROMPT"> {
  OPENROUTER_BASE_URL: string;
  SYSTEM_PROMPT: string;
  /** `MODEL`, then `MODEL_FALLBACKS`. */
  models: readonly string[];
  /** What `options.model` and `configure` may name. */
  allowedModels: readonly string[];
  sessionTimeoutMs: number;
  publishableKeys: readonly string[];
  secretKeys: readonly string[];
}

/**
 * Checks the whole environment.
 * Throws {@linkcode ConfigError} naming every mistake. An empty value counts as not set.
 */
export function parseConfig(env: Readonly<Record<string, string>>, { needsModel = true } = {}): Config {
  const set = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ""));
  // Used once: compiling the schema would cost more than it saves.
  const parsed = environment.safeParse(set, { jitless: true });
  const problems = parsed.success
    ? []
    : parsed.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`);
  // A server of one's own may need no key; OpenRouter does. Who only notifies asks no model.
  if (needsModel && set.OPENROUTER_API_KEY === undefined && set.OPENROUTER_BASE_URL === undefined) {
    problems.push("OPENROUTER_API_KEY: must be set (or OPENROUTER_BASE_URL, for a server that needs no key)");
  }
  if (set.AUTH_MODE !== "none" && set.SUPABASE_URL === undefined) {
    problems.push("SUPABASE_URL: must be set, to check tokens with (or AUTH_MODE=none, to let everyone in)");
  }
  const { SESSION_STORE: store, TURN_LEASE_MS: leaseMs, CHECKPOINT_INTERVAL_MS: checkpointMs } =
    parsed.data ?? {};
  if (leaseMs !== undefined && checkpointMs !== undefined && leaseMs < 2 * checkpointMs) {
    problems.push("TURN_LEASE_MS: must be at least twice CHECKPOINT_INTERVAL_MS, which renews it");
  }
  if (store === "postgres" && (set.SUPABASE_URL === undefined || secretKeysOf(parsed.data).length === 0)) {
    problems.push("SESSION_STORE: postgres needs SUPABASE_URL and SUPABASE_SECRET_KEYS");
  }
  if (!parsed.success || problems.length > 0) throw new ConfigError(problems);
  const values = parsed.data;
  const models = [values.MODEL, ...values.MODEL_FALLBACKS];
  return {
    ...values,
    OPENROUTER_BASE_URL: values.OPENROUTER_BASE_URL ?? "https://openrouter.ai/api/v1",
    SYSTEM_PROMPT: values.SYSTEM_PROMPT ??
      `You are ${values.AGENT_NAME}, an AI assistant communicating via WebSocket.`,
    models,
    allowedModels: values.ALLOWED_MODELS.length > 0 ? values.ALLOWED_MODELS : models,
    // Rounded up: the smallest fraction must not become 0, which means never.
    sessionTimeoutMs: Math.ceil(values.SESSION_TIMEOUT * 60_000),
    publishableKeys: [...values.SUPABASE_PUBLISHABLE_KEYS, ...present(values.SUPABASE_ANON_KEY)],
    secretKeys: secretKeysOf(values),
  };
}

function secretKeysOf(values: Environment | undefined): readonly string[] {
  return [...values?.SUPABASE_SECRET_KEYS ?? [], ...present(values?.SUPABASE_SERVICE_ROLE_KEY)];
}

function present(value: string | undefined): readonly string[] {
  return value === undefined ? [] : [value];
}
