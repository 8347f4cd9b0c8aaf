/** Runs one call of a tool of the developer. */

import type { CallOutcome, RunnableCall, RunOptions } from "../ports/agent.ts";
import type { Clock, Log } from "../ports/runtime.ts";
import { accept } from "./arguments.ts";
import { bounded, GivenUp } from "./bounded.ts";
import { CallRights, type ToolProject } from "./call_rights.ts";
import type { ReadyTool } from "./check.ts";
import { callFunction } from "./function_call.ts";
import { infoOf } from "./session_info.ts";
import { dataText, errorText, messageOf, withoutSecrets } from "./tool_result.ts";
import type { BoundCall, ToolContext } from "./tool.ts";
import { unwrap } from "./unwrap.ts";

type SupabaseJs = typeof import("@supabase/supabase-js");

export interface RunDeps {
  clock: Clock;
  log: Log;
  fetch: typeof fetch;
  project: ToolProject;
  /** `TOOL_TIMEOUT_MS`. */
  timeoutMs: number;
  /** `MAX_TOOL_RESULT_CHARS`. */
  maxResultChars: number;
  /** Loads supabase-js. */
  loadSupabase(): Promise<Pick<SupabaseJs, "createClient">>;
}

/** Never rejects: what goes wrong is an outcome. */
export async function runTool(
  ready: ReadyTool,
  call: RunnableCall,
  options: RunOptions,
  deps: RunDeps,
): Promise<CallOutcome> {
  const { acts, timeoutMs = deps.timeoutMs } = ready;
  const token = acts === "user" && options.user.id !== undefined ? options.token : undefined;
  const secrets = [token, deps.project.secretKey].filter((secret) => secret !== undefined);
  const failed = (problem: string): CallOutcome => ({
    outcome: "error",
    output: errorText(call.name, messageOf(problem, secrets)),
  });
  if (acts === "user" && options.user.id !== undefined && token === undefined) {
    return failed("it needs the user, who has no connection with a valid token at this moment");
  }
  if (options.signal.aborted) return failed("it was stopped before it began");
  const accepted = await accept(ready.tool, call.input);
  if ("problem" in accepted) return failed(accepted.problem);
  try {
    const { bound } = accepted;
    const bounds = { clock: deps.clock, ms: timeoutMs, signal: options.signal };
    const result = await bounded(
      bounds,
      (signal) => execute({ ready, call, bound, token, signal }, options, deps),
    );
    const unwrapped = unwrap(result);
    if ("problem" in unwrapped) return failed(unwrapped.problem);
    const output = withoutSecrets(dataText(call.name, unwrapped.data, deps.maxResultChars), secrets);
    return { outcome: "ok", output };
  } catch (thrown) {
    const problem = messageOf(thrown, secrets);
    deps.log.write({
      level: "warn",
      event: "tool_failed",
      tool: call.name,
      callId: call.callId,
      reason: problem,
    });
    return failed(thrown instanceof GivenUp ? `${problem}. It may have taken effect` : problem);
  }
}

interface Execution {
  ready: ReadyTool;
  call: RunnableCall;
  bound: BoundCall;
  token: string | undefined;
  signal: AbortSignal;
}

async function execute(
  { ready, call, bound, token, signal }: Execution,
  options: RunOptions,
  { clock, fetch, project, loadSupabase }: RunDeps,
): Promise<unknown> {
  const { acts, tool: { target } } = ready;
  const rights = new CallRights({ acts, token, project, signal, clock, fetch });
  signal.addEventListener("abort", () => rights.end(), { once: true });
  const { callId, turnId } = call;
  if (target.kind === "function") {
    const { parsed: input } = bound;
    return await callFunction({ name: target.name, input, idempotencyKey: callId }, rights);
  }
  // `supabase` is there at once, so it is loaded for tools that may use it. With the durable store it is there anyway.
  const js = acts === "nobody" || project.supabaseUrl === undefined ? undefined : await loadSupabase();
  const context: ToolContext = {
    get supabase() {
      return rights.client(js);
    },
    user: infoOf(options).user,
    sessionId: options.sessionId,
    turnId,
    callId,
    idempotencyKey: callId,
    signal,
  };
  return await bound.execute(context);
}
