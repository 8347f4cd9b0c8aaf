/**
 * The page at `/`: its files as they are on disk, its modules bundled in memory, and the stack information that it may
 * have. Nothing comes from another host, and the page's content security policy forbids requests to other hosts.
 */

import * as esbuild from "esbuild";
import type { StackInfo } from "./stack_info.ts";

const FOLDER = new URL("../playground/", import.meta.url);
const PREFIX = "/playground/";
const TYPES: Readonly<Record<string, string>> = {
  "index.html": "text/html; charset=utf-8",
  "page.css": "text/css; charset=utf-8",
  "chat.css": "text/css; charset=utf-8",
  "conversations.css": "text/css; charset=utf-8",
  "activity.css": "text/css; charset=utf-8",
  "favicon.svg": "image/svg+xml",
};
const HEADERS = {
  // Text from a model cannot become markup either: `innerHTML` and similar properties throw.
  "content-security-policy":
    "default-src 'self'; connect-src 'self' ws:; base-uri 'none'; form-action 'none'; " +
    "frame-ancestors 'none'; object-src 'none'; require-trusted-types-for 'script'",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "cache-control": "no-store",
};

/** A token that shows all activity and allows nothing else. */
export interface WatchPass {
  token: string;
}

export interface PlaygroundOptions {
  info(): StackInfo;
  /** Signs a token with these claims. */
  sign(claims: Record<string, unknown>): Promise<string>;
}

export class Playground {
  readonly #options: PlaygroundOptions;
  #script: Promise<string> | undefined;

  constructor(options: PlaygroundOptions) {
    this.#options = options;
  }

  /** Returns undefined for paths that are not the page's. */
  async answer(request: Request): Promise<Response | undefined> {
    const { pathname } = new URL(request.url);
    const file = pathname === "/"
      ? "index.html"
      : pathname.startsWith(PREFIX)
      ? pathname.slice(PREFIX.length)
      : "";
    if (file === "watch_pass" && request.method === "POST") return await this.#watchPass(request);
    if (request.method !== "GET" && request.method !== "HEAD") return undefined;
    if (file === "stack.json") return Response.json(this.#options.info(), { headers: HEADERS });
    if (file === "main.js") return reply(await this.#bundle(), "text/javascript; charset=utf-8");
    const type = TYPES[file];
    if (type === undefined) return undefined;
    return reply(await Deno.readTextFile(new URL(file, FOLDER)), type);
  }

  #bundle(): Promise<string> {
    const script = this.#script ??= bundle();
    script.catch(() => this.#script = undefined);
    return script;
  }

  /**
   * An anonymous visitor may not watch activity. On their own machine they may see everything. The secret key would
   * open the whole project, so they get a pass that shows activity and allows nothing else.
   */
  async #watchPass(request: Request): Promise<Response> {
    if (!isFromThisMachine(request)) {
      const message = "Only a browser on the machine of the stack may watch everything";
      return Response.json({ code: "FORBIDDEN", message }, { status: 403 });
    }
    const pass: WatchPass = {
      token: await this.#options.sign({ app_metadata: { agent_activity: "all" } }),
    };
    return Response.json(pass, { headers: HEADERS });
  }
}

function reply(body: string, type: string): Response {
  return new Response(body, { headers: { ...HEADERS, "content-type": type } });
}

/**
 * The gateway appends the client's address as the last entry. A host name that resolves to this machine but is called
 * from elsewhere does not count.
 */
function isFromThisMachine({ headers }: Request): boolean {
  const from = headers.get("x-forwarded-for")?.split(",").at(-1)?.trim() ?? "";
  const host = (headers.get("x-forwarded-host") ?? "").replace(/:\d+$/, "");
  return /^(127\.|::1$|::ffff:127\.)/.test(from) && ["127.0.0.1", "localhost", "[::1]"].includes(host);
}

async function bundle(): Promise<string> {
  try {
    const { outputFiles } = await esbuild.build({
      absWorkingDir: Deno.realPathSync(FOLDER),
      entryPoints: ["main.ts"],
      bundle: true,
      write: false,
      format: "esm",
      target: "es2022",
      sourcemap: "inline",
      logLevel: "silent",
    });
    return outputFiles[0]?.text ?? "";
  } finally {
    // esbuild is a process of its own, and would otherwise keep running.
    await esbuild.stop();
  }
}
