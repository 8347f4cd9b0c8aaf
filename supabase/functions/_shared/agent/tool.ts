/** Tools: what the developer writes, and what the runner sees of it. */

import type { InputIssue, InputSchema } from "./input_schema.ts";
import type { AgentSession, AgentUserInfo } from "./session_info.ts";

type SupabaseClient = import("@supabase/supabase-js").SupabaseClient;

/** Whose rights a tool has: the user's (row level security holds), the service role's, or none. */
export type ActsAs = "user" | "service" | "nobody";

/** What `execute` gets beside its input. */
export interface ToolContext {
  /**
   * A client of the project. `as: "user"`: with the token of the user's live connection; in an anonymous session with the
   * publishable key only. `as: "service"`: with the secret key. It works until the call ends. Reading it throws
   * where there is no such client: with `as: "nobody"`, and without a project.
   */
  readonly supabase: SupabaseClient;
  /** Undefined in an anonymous session. */
  readonly user: AgentUserInfo | undefined;
  readonly sessionId: string;
  readonly turnId: string;
  readonly callId: string;
  /** The same whenever this call runs again, and different from that of every other call. */
  readonly idempotencyKey: string;
  /** Aborted when the turn is stopped, when the call takes longer than its time, and when it has ended. */
  readonly signal: AbortSignal;
}

/** What `approval` gets beside the input. */
export interface ApprovalContext {
  readonly user: AgentUserInfo | undefined;
  readonly session: AgentSession;
}

/** What all kinds of tools have. */
export interface CommonToolOptions<Input> {
  /** What it does and when to use it: the model reads this. */
  description: string;
  /** A zod schema of an object, `z.object({…})`. */
  input: InputSchema<Input>;
  /**
   * Whether a person must approve a call before it runs: always (`true`), or if the function says so. A function that throws,
   * or takes longer than 5 seconds, counts as yes. Default: no approval.
   */
  approval?: true | ((input: Input, context: ApprovalContext) => boolean | Promise<boolean>);
  /** Whether a call may run again with the same `idempotencyKey` after its worker died. Default false. */
  idempotent?: boolean;
  /** Whose rights it has. Default `user`. */
  as?: ActsAs;
  /** The longest time a call may take, in milliseconds. Default: `TOOL_TIMEOUT_MS`. */
  timeoutMs?: number;
}

export interface ToolOptions<Input> extends CommonToolOptions<Input> {
  /**
   * Runs a call. What it returns goes to the model as JSON; a query of `supabase` may be returned as it is. What it throws goes to
   * the model as an error, by its message. Left out: a client of the user runs the call.
   */
  execute?(input: Input, context: ToolContext): unknown;
}

export interface RpcToolOptions<Input> extends CommonToolOptions<Input> {
  /** The argument of the database function that gets the idempotency key. Default: none gets it. */
  keyArgument?: string;
}

/** Input that a tool has accepted. */
export interface BoundCall {
  /** As parsed by the schema, so with its defaults; not always JSON. */
  readonly parsed: unknown;
  needsApproval(context: ApprovalContext): Promise<boolean>;
  execute(context: ToolContext): unknown;
}

/** What runs a call. */
export type ToolTarget =
  | { readonly kind: "code" }
  | { readonly kind: "client" }
  | { readonly kind: "function"; readonly name: string }
  | { readonly kind: "rpc"; readonly name: string; readonly keyArgument: string | undefined };

/** A tool of any input. Made by {@linkcode tool}, {@linkcode functionTool} and {@linkcode rpcTool}. */
export interface Tool {
  readonly target: ToolTarget;
  /** As the developer wrote them, not checked yet. */
  readonly options: Readonly<Record<string, unknown>>;
  /** Checks a value with the schema. */
  bind(value: unknown): Promise<BoundCall | { issues: readonly InputIssue[] }>;
}

/** A tool whose code is here; without `execute`, one that a client runs. */
export function tool<Input>(options: ToolOptions<Input>): Tool {
  const { execute } = options;
  if (execute === undefined) return toolOf({ kind: "client" }, options, () => undefined);
  return toolOf({ kind: "code" }, options, (input, context) => execute(input, context));
}

/**
 * A tool that is another edge function of the project. The input is posted to it as JSON, with the user's token, and the
 * idempotency key as the header `idempotency-key`.
 */
export function functionTool<Input>(name: string, options: CommonToolOptions<Input>): Tool {
  // The runner posts the input: see function_call.ts.
  return toolOf({ kind: "function", name }, options, (input) => input);
}

/** A tool that is a function of the database, called as the user. The properties of the input are its arguments. */
export function rpcTool<Input>(name: string, options: RpcToolOptions<Input>): Tool {
  const { keyArgument } = options;
  return toolOf({ kind: "rpc", name, keyArgument }, options, (input, { supabase, idempotencyKey }) => {
    const key = keyArgument === undefined ? {} : { [keyArgument]: idempotencyKey };
    return supabase.rpc(name, { ...input, ...key });
  });
}

function toolOf<Input>(
  target: ToolTarget,
  options: CommonToolOptions<Input>,
  execute: (input: Input, context: ToolContext) => unknown,
): Tool {
  return {
    target,
    options: { ...options },
    async bind(value): ReturnType<Tool["bind"]> {
      const checked = await options.input["~standard"].validate(value);
      if (checked.issues !== undefined) return { issues: checked.issues };
      const input = checked.value;
      const { approval } = options;
      return {
        parsed: input,
        needsApproval: async (context) =>
          typeof approval === "function" ? await approval(input, context) : approval === true,
        execute: (context) => execute(input, context),
      };
    },
  };
}
