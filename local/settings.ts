/** The stack's settings from the environment and `.env`, checked before anything starts. */

import { parseEnv } from "node:util";
import * as z from "zod";

/** A setting is wrong, or the stack cannot start with it. The message is for the person at the terminal. */
export class SettingsError extends Error {
  override readonly name = "SettingsError";
}

function whole<Fallback>(
  min: number,
  max: number,
  fallback: Fallback,
): z.ZodType<number | Fallback, string | undefined> {
  const message = `must be a whole number from ${min} to ${max}`;
  return z.string().regex(/^\d+$/, message).transform(Number)
    .pipe(z.number().min(min, message).max(max, message))
    .optional().transform((value) => value ?? fallback);
}

const schema = z.object({
  PORT: whole(0, 65_535, 54_321),
  LOCAL_HOST: z.string().default("127.0.0.1"),
  LOCAL_WORKERS: whole(1, 32, undefined),
  LOCAL_WALL_CLOCK_MS: whole(0, 86_400_000, 0),
  LOCAL_REALTIME_MESSAGES_PER_SECOND: whole(0, 1_000_000, 100),
  LOCAL_TEST_HOOKS: z.enum(["0", "1"], "must be 0 or 1").default("0"),
  LOCAL_DENO: z.string().optional(),
  DATABASE_URL: z.string().refine(
    (value) => value === "none" || z.url({ protocol: /^postgres(ql)?$/ }).safeParse(value).success,
    "must be `none`, or a URL such as postgres://localhost/agent",
  ).optional(),
  SESSION_STORE: z.string().optional(),
}).transform(({ LOCAL_WORKERS, SESSION_STORE, ...others }) => ({
  ...others,
  // With the memory store a session lives in one worker; a reconnect to another worker would start a new session.
  LOCAL_WORKERS: LOCAL_WORKERS ?? (SESSION_STORE === "memory" || others.DATABASE_URL === "none" ? 1 : 2),
}));

export type Settings = z.output<typeof schema>;

/**
 * Reads the stack's own settings; an empty value counts as not set. Throws {@linkcode SettingsError} with all mistakes.
 */
export function readSettings(env: Readonly<Record<string, string>>): Settings {
  const parsed = schema.safeParse(
    Object.fromEntries(Object.entries(env).filter(([, value]) => value !== "")),
  );
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map(({ path, message }) => {
    const name = path.join(".");
    return `${name} ${message}, not ${JSON.stringify(env[name])}`;
  });
  throw new SettingsError(`Cannot start: ${problems.join("; ")}`);
}

/** The environment with the values of the `.env` file at `path` added. Existing variables have precedence. */
export async function withDotEnv(
  env: Readonly<Record<string, string>>,
  path: string | URL,
): Promise<Record<string, string>> {
  const text = await Deno.readTextFile(path).catch((error) => {
    if (error instanceof Deno.errors.NotFound) return "";
    throw error;
  });
  const fromFile = Object.entries(parseEnv(text)).filter((entry): entry is [string, string] =>
    entry[1] !== undefined
  );
  return { ...Object.fromEntries(fromFile), ...env };
}
