/** What `deno task dev` shows until the developer has an agent of their own: an agent with tools, and its tables. */

/** An agent that takes the place of `agent_websocket/agent.ts`. */
export interface Demo {
  /** The file with its definition. */
  agent: URL;
  /** Applied to the database after the migrations. */
  sql: URL;
  /** A table of this name means that `sql` was applied before, or must not be. */
  table: string;
}

const ORDERS: Demo = {
  agent: new URL("../examples/orders/agent.ts", import.meta.url),
  sql: new URL("../examples/orders/orders.sql", import.meta.url),
  table: "public.orders",
};
const AGENT_FILE = new URL("../supabase/functions/agent_websocket/agent.ts", import.meta.url);

/** The demo, if there is reason for it: see {@linkcode demoFor}. */
export async function chooseDemo(env: Readonly<Record<string, string>>): Promise<Demo | undefined> {
  return demoFor(await Deno.readTextFile(AGENT_FILE).catch(() => ""), env);
}

/**
 * The demo, unless the developer has changed their agent's file, whose source this is, or has a model server of their own, which
 * may not support tools.
 */
export function demoFor(source: string, env: Readonly<Record<string, string>>): Demo | undefined {
  return isUntouched(source) && !env.OPENROUTER_BASE_URL ? ORDERS : undefined;
}

/** Whether an agent's file is, apart from comments and white space, the one that the project comes with. */
export function isUntouched(source: string): boolean {
  const code = source.replace(/\/\*[^]*?\*\/|\/\/.*/g, "").replace(/\s+/g, " ").trim();
  return code ===
    'import { defineAgent } from "../_shared/agent/mod.ts"; export default defineAgent({});';
}
