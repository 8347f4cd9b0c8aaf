/**
 * Auth and REST: Supabase Lite on PGlite, in memory, on a thread of its own, so that its seconds of start-up and its
 * queries never hold up the gateway.
 */

import type { LocalKeys } from "./keys.ts";

export interface SupabaseLiteOptions {
  keys: LocalKeys;
  /** The folder of migrations, applied in the order of their names. May be missing. */
  migrations: URL;
  /** The stack's own address. */
  url: string;
}

/** What the thread is started with. */
export interface LiteSetup {
  url: string;
  jwtSecret: string;
  publishableKey: string;
  secretKey: string;
  migrations: readonly Migration[];
}

export interface Migration {
  name: string;
  sql: string;
}

/** What the thread says, once. */
export type LiteReport = { port: number } | { problem: string };

export interface SupabaseLite {
  /** The loopback port it listens on, once it does. Rejects if it could not start, or was stopped before. */
  port: Promise<number>;
  stop(): void;
}

export function startSupabaseLite({ keys, migrations, url }: SupabaseLiteOptions): SupabaseLite {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  // Nobody may be waiting for it when it fails: the stack logs it, and each request is told.
  promise.catch(() => {});
  const thread = new Worker(new URL("./supabase_lite_thread.ts", import.meta.url), { type: "module" });
  thread.onmessage = ({ data }: MessageEvent<LiteReport>) => {
    if ("port" in data) resolve(data.port);
    else reject(new Error(`Cannot start Supabase Lite: ${data.problem}`));
  };
  thread.onerror = (event) => {
    event.preventDefault();
    reject(new Error(`Cannot start Supabase Lite: ${event.message}`));
  };
  readMigrations(migrations).then((found) => {
    const setup: LiteSetup = {
      url,
      jwtSecret: keys.jwtSecret,
      publishableKey: keys.publishableKey,
      secretKey: keys.secretKey,
      migrations: found,
    };
    thread.postMessage(setup);
  }).catch(reject);
  return {
    port: promise,
    stop: () => {
      reject(new Error("Cannot reach Supabase Lite: the stack is stopping"));
      thread.terminate();
    },
  };
}

async function readMigrations(directory: URL): Promise<Migration[]> {
  const names: string[] = [];
  try {
    for await (const entry of Deno.readDir(directory)) {
      if (entry.isFile && entry.name.endsWith(".sql")) names.push(entry.name);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  names.sort();
  return await Promise.all(names.map(async (name) => {
    const path = new URL(encodeURIComponent(name), directory);
    return { name, sql: await Deno.readTextFile(path) };
  }));
}
