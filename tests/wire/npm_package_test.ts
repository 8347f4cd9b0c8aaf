/**
 * The npm package as a user gets it: built, packed, installed, run by Node, type-checked, and bundled into a page by
 * Vite.
 */

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { withLocalStack } from "../support/local_stack.ts";
import { echo, HandModel } from "../support/hand_model.ts";
import { npmFolder, run, tsc } from "../support/npm_folder.ts";
import { sectionOf } from "../support/section.ts";
import { read, urlOf } from "../support/source_files.ts";

/** Of the README's page, in which the client is almost everything. The build has a limit for the client alone. */
const MAX_GZIPPED_BYTES = 11 * 1024;
const AGENT_URL = "http://127.0.0.1:54321/functions/v1/agent_websocket";

/** The code of a section of README.md. */
function codeOf(section: string): string {
  return /```js\n([\s\S]*?)```/.exec(sectionOf(read("README.md"), section))?.[1] ?? assert.fail(section);
}

const PAGE = `<!doctype html><title>A page</title><script type="module" src="/main.js"></script>`;

const TYPED = `
import { AgentClient, AgentClientError, type Answer, type Turn } from "agent-websocket-client";
const client = new AgentClient("https://example.com/functions/v1/agent_websocket", {
  getToken: (why) => why === "connect" ? "token" : Promise.resolve(undefined),
  storage: sessionStorage,
});
const turn: Turn = client.query("Hi", { priority: "high", options: { temperature: 0.5 } });
for await (const piece of turn) piece.toUpperCase();
const { usage, outcome }: Answer = await turn.final;
const tokens: number | undefined = usage?.total_tokens;
const ended: "completed" | "cancelled" = outcome;
client.on("message", (frame) => frame.type === "delta" ? frame.offset.toFixed() : frame.content);
client.on("close", ({ code, unsent }) => [code.toFixed(), unsent[0]?.text]);
await client.command("history", { limit: 5 });
// @ts-expect-error there is no such command
await client.command("dance");
// @ts-expect-error a rating is -1 or 1
await client.feedback({ rating: 5 });
export { AgentClientError, ended, tokens };
`;

const TYPED_TOOLS = `
import { AgentClient, type Approval, toUIMessages, type ToolCall } from "agent-websocket-client/tools";
const client = new AgentClient("https://example.com/functions/v1/agent_websocket", {
  tools: {
    pick_date: ({ month }: { month: string }, { signal }) => signal.aborted ? null : { date: month },
    where: (input, { callId }) => [input, callId],
  },
});
client.on("call", ({ state }: ToolCall) => state === "approval");
client.on("close", ({ code }) => code.toFixed());
const [first]: readonly Approval[] = client.chat("a").approvals;
await client.approve(first?.approvalId ?? "", { comment: "fine" });
await client.answer("", { output: 1 });
// @ts-expect-error a result has an output or an error
await client.answer("", {});
export const messages = [...client.messages, ...toUIMessages([])];
`;

const TYPED_AI = `
import { AbstractChat, type ChatTransport, type UIMessage } from "ai";
import { AgentClient, type AgentMessageMetadata, toUIMessages } from "agent-websocket-client/tools";
import { AgentChatTransport } from "agent-websocket-client/ai-sdk";
const client = new AgentClient("ws://localhost/");
export const transport: ChatTransport<UIMessage> = new AgentChatTransport(client);
export const messages: UIMessage<AgentMessageMetadata>[] = [...client.messages, ...toUIMessages([{ event: {} }])];
export type Chat = AbstractChat<UIMessage>;
`;

/** The types of the package are the same as those of the source code. */
const SAME_TYPES = `
import type * as Own from "${urlOf("client/frames.ts")}";
import type * as Built from "${urlOf("dist/npm/frames.d.ts")}";
type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : never) : never;
export const same: [
  Same<Own.ServerFrame, Built.ServerFrame>,
  Same<Own.ErrorFrame, Built.ErrorFrame>,
  Same<Own.NotificationFrame, Built.NotificationFrame>,
  Same<Own.QueryFields, Built.QueryFields>,
  Same<Own.Feedback, Built.Feedback>,
  Same<keyof Own.Commands, keyof Built.Commands>,
  Same<Own.Commands["history"], Built.Commands["history"]>,
  Same<Own.Commands["configure"], Built.Commands["configure"]>,
] = [true, true, true, true, true, true, true, true];
`;

const TSC = [
  "--noEmit",
  "--strict",
  "--exactOptionalPropertyTypes",
  "--target",
  "es2022",
  "--module",
  "nodenext",
];

Deno.test("the npm package is small, has no server in it, runs in Node and Vite, and its types hold", async () => {
  const folder = await npmFolder();
  assert.match(read("dist/npm/mod.js"), /^export \{ AgentClient \} from "\.\/client\.js";$/m);
  const files = [...Deno.readDirSync(urlOf("dist/npm/"))].map(({ name }) => name);
  for (const file of files.filter((name) => name.endsWith(".js"))) {
    const module = read(`dist/npm/${file}`);
    const imports = [...module.matchAll(/^(?:import|export)\b(?:[^"\n]* from)? "([^"]+)";$/gm)]
      .map(([, path = ""]) => path);
    for (const path of imports) assert.ok(files.includes(path.replace("./", "")), `${file} imports ${path}`);
    assert.ok(!/\bDeno\.|\bimport\(/.test(module), file);
    // The code is the source's: in no file is a line that only a minifier would write.
    assert.ok(Math.max(...module.split("\n").map(({ length }) => length)) < 200, file);
  }
  assert.match(
    read("dist/npm/exchange.js"),
    /\/\*\* A turn that failed before it began\..*\n +refuse\(frame, why\) \{/,
  );

  const write = (name: string, text: string): void => Deno.writeTextFileSync(`${folder}/${name}`, text);
  // Types: ours are checked as strictly as the caller's own.
  write("typed.mts", TYPED);
  write("typed_tools.mts", TYPED_TOOLS);
  await tsc(folder, [...TSC, "--lib", "es2022,dom", "typed.mts", "typed_tools.mts"]);
  write("typed_ai.mts", TYPED_AI);
  await tsc(folder, [...TSC, "--skipLibCheck", "--lib", "es2022,dom,dom.iterable", "typed_ai.mts"]);
  write("same.ts", SAME_TYPES);
  const config = `--config=${fileURLToPath(urlOf("deno.json"))}`;
  await run(Deno.execPath(), ["check", "--quiet", config, `${folder}/same.ts`], { cwd: urlOf("") });

  // Vite, with the README's code as the page's module.
  write("index.html", PAGE);
  write(
    "main.js",
    `const supabase = globalThis.supabase;\n${codeOf("client-browser")}`.replace(
      /(const supabase.*\n)(import.*\n)/,
      "$2$1",
    ),
  );
  await run(`${folder}/node_modules/.bin/vite`, ["build", "--logLevel", "warn"], { cwd: folder });
  const [script = ""] = [...Deno.readDirSync(`${folder}/dist/assets`)].map(({ name }) => name);
  const page = Deno.readTextFileSync(`${folder}/dist/assets/${script}`);
  assert.match(page, /agent-websocket\.v1/);
  const bytes = gzipSync(page, { level: 9 }).length;
  assert.ok(bytes < MAX_GZIPPED_BYTES, `${bytes} bytes gzipped`);

  // Node, with the README's code, against the stack.
  await using model = new HandModel({ respond: echo });
  await withLocalStack({ model: { baseUrl: model.baseUrl } }, async ({ url }) => {
    const code = codeOf("client-node");
    assert.ok(code.includes(AGENT_URL));
    write("node.js", code.replace("http://127.0.0.1:54321", url));
    assert.equal(await run("node", ["node.js"], { cwd: folder }), "You said: Hi!");
  });
  write(
    "without.js",
    `import { AgentClient } from "agent-websocket-client";
delete globalThis.WebSocket;
try { new AgentClient("ws://localhost/"); } catch (error) { process.stdout.write(error.message); }`,
  );
  assert.match(await run("node", ["without.js"], { cwd: folder }), /install `ws`/);
});
