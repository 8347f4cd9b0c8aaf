/** `deno task dev`: the whole stack on this machine, until Ctrl+C. */

import { chooseDemo, type Demo } from "./demo.ts";
import { watchLauncher } from "./launcher.ts";
import { readSettings, SettingsError, withDotEnv } from "./settings.ts";
import { type LocalStack, startLocalStack } from "./stack.ts";
import { wscatLine } from "./stack_info.ts";

/** Ctrl+C must not wait for the function's own default of ten seconds. */
const DEFAULT_DRAIN_MS = "2000";
/** A second signal later than this ends everything at once. */
const IMPATIENT_AFTER_MS = 1000;

function print(line: string, stream: "stdout" | "stderr" = "stdout"): void {
  Deno[stream].writeSync(new TextEncoder().encode(`${line}\n`));
}

async function start(): Promise<LocalStack> {
  const env = await withDotEnv(Deno.env.toObject(), new URL("../.env", import.meta.url));
  const settings = readSettings(env);
  const demo = await chooseDemo(env);
  try {
    const stack = await startLocalStack({
      // Deno always colours its messages; output to a file should have no colours.
      env: {
        ...(Deno.stdout.isTerminal() ? {} : { NO_COLOR: "1" }),
        ...env,
        DRAIN_TIMEOUT_MS: env.DRAIN_TIMEOUT_MS || DEFAULT_DRAIN_MS,
      },
      port: settings.PORT,
      hostname: settings.LOCAL_HOST,
      // Most people never send it a request, so it starts with the first one, as on the platform.
      workers: { agent_websocket: settings.LOCAL_WORKERS, notify_websocket: 0 },
      wallClockMs: settings.LOCAL_WALL_CLOCK_MS,
      realtime: { limits: { eventsPerSecond: settings.LOCAL_REALTIME_MESSAGES_PER_SECOND } },
      testHooks: settings.LOCAL_TEST_HOOKS === "1",
      onLog: print,
      demo,
      ...databaseOf(settings.DATABASE_URL),
      ...(settings.LOCAL_DENO === undefined ? {} : { denoPath: settings.LOCAL_DENO }),
    });
    welcome(stack, { env, demo });
    return stack;
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) {
      const other = settings.PORT === 54_321 ? 54_322 : 54_321;
      throw new SettingsError(
        `Cannot start: port ${settings.PORT} is taken. Choose another one: PORT=${other} deno task dev`,
      );
    }
    throw error;
  }
}

function databaseOf(url: string | undefined): { lite?: boolean; databaseUrl?: string } {
  if (url === undefined) return {};
  return url === "none" ? { lite: false } : { databaseUrl: url };
}

function welcome(
  { url, keys, model, authMode }: LocalStack,
  { env, demo }: { env: Readonly<Record<string, string>>; demo: Demo | undefined },
): void {
  const agent = demo === undefined ? "yours" : "the demo in examples/orders, until you write your own";
  const why = env.AUTH_MODE ? "set by you" : "the local default: anyone may connect, signed in or not";
  print(`Agent WebSocket, local stack. For this machine only: the keys below are known to everyone.

  agent            ${agent}
  model            ${model}
  AUTH_MODE        ${authMode} (${why})
  publishable key  ${keys.publishableKey}
  secret key       ${keys.secretKey}
  JWT secret       ${keys.jwtSecret}
`);
  print(`ready ${url}`);
  print(`\nTalk to the agent in a browser at ${url}, or in a terminal: ${wscatLine(url)}`);
}

/** The process ends by itself after everything has ended, so that no output is cut off. */
async function main(): Promise<void> {
  const interrupted = Promise.withResolvers<void>();
  let interruptedAt: number | undefined;
  const onSignal = (): void => {
    interruptedAt ??= performance.now();
    // `deno task` repeats a signal that the terminal has already sent to all processes: ignore an immediate repeat.
    if (performance.now() - interruptedAt > IMPATIENT_AFTER_MS) Deno.exit(1);
    interrupted.resolve();
  };
  const signals: Deno.Signal[] = Deno.build.os === "windows" ? ["SIGINT"] : ["SIGINT", "SIGTERM", "SIGHUP"];
  for (const signal of signals) Deno.addSignalListener(signal, onSignal);
  const unwatch = watchLauncher(Deno.env.toObject(), interrupted.resolve);
  try {
    // The first start may download for minutes. If there is no stack to stop yet, the unfinished start ends with this
    // process.
    const stack = await Promise.race([start(), interrupted.promise]);
    await interrupted.promise;
    unwatch();
    await stack?.stop();
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    print(error.message, "stderr");
    Deno.exit(1);
  }
  Deno.exit(0);
}

await main();
