/** The example in `examples/react/` in a real browser, installed and built with npm and Vite as its README says. */

import { extname } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { BrowserContext, Locator, Page } from "playwright-core";
import { eventually } from "./local_stack.ts";
import { run } from "./npm_folder.ts";
import { urlOf } from "./source_files.ts";

/** Folder for screenshots; CI keeps it. */
const SCREENSHOTS = urlOf(".ci/tmp/screenshots/");
/** The values of `VITE_TRANSPORT`. */
export const TRANSPORTS = ["agent", "ai-sdk"] as const;
export type Transport = typeof TRANSPORTS[number];

/** Limit for anything on the page, on a busy machine. */
export const PATIENCE_MS = 60_000;
const EXAMPLE = "examples/react";
/** Stands for the stack's URL in the built page. The stack has a URL only when the page is served. */
const STACK_URL = "http://stack.invalid";
const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".css": "text/css",
};

/**
 * A second React root beside the app's, with two more components on one chat: the example's own view, which shares the chat's
 * state, and a `useChat({ id })`, which has its own.
 */
const BESIDE = `
import { useChat } from "@ai-sdk/react";
import { StrictMode, Suspense, useEffect } from "react";
import { createRoot } from "react-dom/client";
import { transport } from "./agent";
import { ChatView } from "./ChatView";

function Own({ id }: { id: string }) {
  const { messages, status } = useChat({ id, transport, resume: true });
  useEffect(() => void mounts++, []);
  const parts = messages.flatMap(({ parts }) => parts);
  return <p id="own" data-status={status}>{parts.map((part) => part.type === "text" ? part.text : "")}</p>;
}
let mounts = 0;
const root = createRoot(document.body.appendChild(document.createElement("div")));
Object.assign(globalThis, {
  mountBeside: (id: string) =>
    root.render(<StrictMode><Suspense><ChatView id={id} onChange={() => {}} /></Suspense><Own id={id} /></StrictMode>),
  mounts: () => mounts,
});
`;

/**
 * Installs, type-checks and builds a copy of the example for each transport. Returns the folder, which has a folder
 * `dist-<transport>` for each. It is removed when the process ends.
 */
export async function buildExample(): Promise<URL> {
  const root = pathToFileURL(`${await Deno.makeTempDir()}/`);
  addEventListener("unload", () => Deno.removeSync(root, { recursive: true }));
  // Not `dist/npm/`: another test may be building it.
  const npm = fileURLToPath(new URL("dist/npm/", root));
  await run(Deno.execPath(), ["run", "-A", "client/npm/build.ts", npm], { cwd: urlOf("") });
  const folder = new URL(`${EXAMPLE}/`, root);
  await Deno.mkdir(new URL("src/", folder), { recursive: true });
  for (const path of [...sources("."), ...sources("src")]) {
    await Deno.copyFile(urlOf(`${EXAMPLE}/${path}`), new URL(path, folder));
  }
  await run("npm", ["install", "--no-audit", "--no-fund"], { cwd: folder });
  await Deno.writeTextFile(new URL("src/beside.tsx", folder), BESIDE);
  await run("npm", ["run", "check"], { cwd: folder });
  const index = await Deno.readTextFile(new URL("index.html", folder));
  const script = '<script type="module" src="/src/beside.tsx"></script>';
  await Deno.writeTextFile(new URL("index.html", folder), index.replace("</body>", `${script}</body>`));
  await Promise.all(
    TRANSPORTS.map((transport) =>
      run(fileURLToPath(new URL("node_modules/.bin/vite", folder)), [
        "build",
        "--mode",
        "development",
        "--outDir",
        `dist-${transport}`,
        "--logLevel",
        "error",
      ], {
        cwd: folder,
        // StrictMode mounts components twice only in React's development build.
        env: { VITE_SUPABASE_URL: STACK_URL, VITE_TRANSPORT: transport, NODE_ENV: "development" },
      })
    ),
  );
  return folder;
}

/** The files of a folder of the example, without what npm and Vite make. */
function sources(folder: string): string[] {
  return Array.from(Deno.readDirSync(urlOf(`${EXAMPLE}/${folder}`)))
    .filter(({ name, isFile }) => isFile && name !== "package-lock.json" && !name.endsWith(".local"))
    .map(({ name }) => `${folder}/${name}`);
}

/** Serves a built page at a port of its own, so that the stack is another origin, as a Supabase project is. */
export function serveExample(
  folder: URL,
  transport: Transport,
  stackUrl: string,
): Deno.HttpServer<Deno.NetAddr> {
  return Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    const { pathname } = new URL(request.url);
    const file = new URL(`dist-${transport}${pathname === "/" ? "/index.html" : pathname}`, folder);
    const text = await Deno.readTextFile(file).catch(() => undefined);
    if (text === undefined) return new Response(null, { status: 404 });
    const headers = { "content-type": TYPES[extname(pathname)] ?? "text/html" };
    return new Response(text.replaceAll(STACK_URL, stackUrl), { headers });
  });
}

const SDK_PATH = "/agent_websocket/ai-sdk";
/** A frame that ends the answer to a request. */
const IS_END = /^\{"type":"(end|error|no-active)"/;

/** The actions of a test on the page. */
export class ExamplePage {
  readonly page: Page;
  /** Console errors of the page, and uncaught errors. */
  readonly complaints: string[] = [];
  /** The URLs of the WebSockets that the page opened. */
  readonly sockets: string[] = [];
  readonly questions: Locator;
  readonly answers: Locator;
  readonly titles: Locator;
  /** Requests of the AI SDK's own transport that were answered. */
  #ends = 0;

  constructor(page: Page) {
    this.page = page;
    this.questions = page.locator("#root li.user p");
    this.answers = page.locator("#root li.assistant p");
    this.titles = page.locator("nav li .title");
    page.setDefaultTimeout(PATIENCE_MS);
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) this.complaints.push(message.text());
    });
    page.on("pageerror", (error) => this.complaints.push(String(error)));
    page.on("websocket", (socket) => {
      this.sockets.push(socket.url());
      socket.on("framereceived", ({ payload }) => {
        if (socket.url().includes(SDK_PATH) && IS_END.test(String(payload))) this.#ends++;
      });
    });
  }

  static async open(context: BrowserContext, url: string): Promise<ExamplePage> {
    const opened = new ExamplePage(await context.newPage());
    await opened.page.goto(url);
    return opened;
  }

  /** The id of the chat that is shown. */
  get chatId(): string {
    return new URL(this.page.url()).hash.slice(1);
  }

  async signIn(email: string, { isNew = false } = {}): Promise<void> {
    await this.page.getByLabel("Email").fill(email);
    await this.page.getByLabel("Password").fill("lighthouse");
    await this.click(isNew ? "Sign up" : "Sign in");
    await this.page.getByLabel("Your question").waitFor();
  }

  async click(name: string): Promise<void> {
    await this.page.locator("#root").getByRole("button", { name, exact: true }).last().click();
  }

  async ask(question: string): Promise<void> {
    await this.page.locator("#root").getByLabel("Your question").fill(question);
    await this.page.locator("#root form").getByRole("button").first().click();
  }

  /**
   * Loads the page again, and waits until its resume has ended. The hook resumes in an effect, after the first painting: a click
   * in between would be faster than any user.
   */
  async reload(): Promise<void> {
    const before = this.#ends;
    await this.page.reload();
    if (!this.sockets.some((url) => url.includes(SDK_PATH))) return;
    await eventually("the end of the resume", () => this.#ends > before, PATIENCE_MS);
    await this.is("ready");
  }

  /** Waits until the chat has this status of `useChat`. */
  async is(status: "submitted" | "streaming" | "ready" | "error"): Promise<void> {
    await this.page.locator(`#root ol[data-status=${status}]`).waitFor();
  }

  /** Waits until these are the questions and answers, or any elements' texts. */
  async shows(elements: Locator, expected: readonly string[]): Promise<void> {
    let last: string[] = [];
    await eventually(expected.join(" | "), async () => {
      last = await elements.allTextContents();
      return JSON.stringify(last) === JSON.stringify(expected);
    }, PATIENCE_MS).catch((error) => {
      throw new Error(`${error.message}; it shows: ${last.join(" | ")}`);
    });
  }

  async screenshot(name: string): Promise<void> {
    await Deno.mkdir(SCREENSHOTS, { recursive: true });
    await this.page.screenshot({ path: fileURLToPath(new URL(`${name}.png`, SCREENSHOTS)) });
  }

  /** As a browser does it when the tab is left for another one, or shown again. */
  async setVisible(isVisible: boolean): Promise<void> {
    const state = isVisible ? "visible" : "hidden";
    await this.page.evaluate(`
      Object.defineProperty(document, "visibilityState", { configurable: true, get: () => "${state}" });
      document.dispatchEvent(new Event("visibilitychange"));
    `);
  }
}
