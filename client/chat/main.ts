/**
 * `deno task chat [url] [--token <jwt>] [--no-reasoning]`: talks to an agent in the terminal. The URL may be that of the
 * project. The default is `AGENT_URL`, or the local stack. The token may also come from `AGENT_TOKEN`; without a token
 * the connection is anonymous. The model's reasoning is shown in a terminal, and elsewhere with `--reasoning`.
 */

import { createInterface } from "node:readline";
import process from "node:process";
import { parseArgs } from "node:util";
import { ToolClient } from "../tool_client.ts";
import { TerminalChat } from "./terminal_chat.ts";

const LOCAL_URL = "http://127.0.0.1:54321";
const FUNCTION_PATH = "/functions/v1/agent_websocket";

const { values, positionals } = parseArgs({
  args: Deno.args,
  options: { token: { type: "string" }, reasoning: { type: "boolean", default: Deno.stdout.isTerminal() } },
  allowPositionals: true,
  allowNegative: true,
});
const url = new URL(positionals[0] ?? Deno.env.get("AGENT_URL") ?? LOCAL_URL);
if (url.pathname === "/") url.pathname = FUNCTION_PATH;
const token = values.token ?? Deno.env.get("AGENT_TOKEN");

const client = new ToolClient(url, {
  reasoning: values.reasoning,
  ...(token !== undefined && { getToken: () => token }),
});
const isTerminal = Deno.stdin.isTerminal();
const lines = createInterface({
  input: process.stdin,
  output: process.stdout,
  terminal: isTerminal,
  prompt: "> ",
});
const chat = new TerminalChat({
  client,
  write: (text) => void process.stdout.write(text),
  onQuit: (code) => {
    lines.close();
    Deno.exit(code);
  },
});
const prompt = (): void => {
  if (isTerminal) lines.prompt();
};
const interrupt = (): void => {
  chat.interrupt();
  prompt();
};

lines.on("line", (line) => void chat.line(line).then(prompt));
lines.on("close", () => void chat.end());
lines.on("SIGINT", interrupt);
Deno.addSignalListener("SIGINT", interrupt);
client.on("open", ({ session }) => {
  process.stdout.write(`[${url.href}, session ${session.id}; /help says what there is]\n`);
  prompt();
});
void client.connect();
