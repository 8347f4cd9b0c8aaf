/**
 * Every client that README.md names, as its real package, with a user's token, over a connection that is cut in the
 * middle of an answer. (Chromium is tested in tests/browser/, Deno's own WebSocket in client_cuts_test.ts and here.)
 */

import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { AgentClient } from "../../client/client.ts";
import { CuttingProxy } from "../support/cutting_proxy.ts";
import { HandModel } from "../support/hand_model.ts";
import { eventually, type TestStack, withLocalStack } from "../support/local_stack.ts";
import { nodeEnv, npmFolder, run } from "../support/npm_folder.ts";
import { read } from "../support/source_files.ts";

const AGENT_PATH = "/functions/v1/agent_websocket";
const WSCAT = "wscat@6.1.0";

interface Line {
  stack: TestStack;
  model: HandModel;
  proxy: CuttingProxy;
  /** The agent's URL through the proxy. */
  url: string;
  token: string;
}

/** A stack that accepts only users, behind a proxy that can cut connections. */
async function withLine(body: (line: Line) => Promise<void>): Promise<void> {
  await using model = new HandModel();
  const env = { AUTH_MODE: "required", RATE_LIMIT_PER_MINUTE: "0" };
  await withLocalStack({ model: { baseUrl: model.baseUrl }, env }, async (stack) => {
    await using proxy = new CuttingProxy({ port: Number(new URL(stack.url).port), bytes: () => Infinity });
    const url = `http://127.0.0.1:${proxy.port}${AGENT_PATH}`;
    await body({ stack, model, proxy, url, token: await stack.token() });
  });
}

interface Told {
  what: string;
  text?: string;
  code?: number;
  outcome?: string;
  resumed?: { recovered: boolean };
}

/** A program that prints lines. It is stopped at the end of the test. */
class Program implements AsyncDisposable {
  readonly lines: string[] = [];
  readonly ended: Promise<unknown>;
  readonly #child: Deno.ChildProcess;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array>;

  constructor(folder: string, command: string, args: readonly string[]) {
    this.#child = new Deno.Command(command, {
      args: [...args],
      cwd: folder,
      clearEnv: true,
      env: nodeEnv(),
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#stdin = this.#child.stdin.getWriter();
    const read = [this.#child.stdout, this.#child.stderr].map(async (stream) => {
      for await (const line of createInterface({ input: Readable.fromWeb(stream) })) this.lines.push(line);
    });
    this.ended = Promise.all([this.#child.status, ...read]);
  }

  /** Its output lines as parsed JSON. A prompt before the JSON is skipped. */
  get told(): readonly Record<string, unknown>[] {
    return this.lines.flatMap((line) => {
      const json = /^(?:> )*(\{.*\})$/.exec(line)?.[1];
      return json === undefined ? [] : [JSON.parse(json)];
    });
  }

  async say(line: string): Promise<void> {
    await this.#stdin.write(new TextEncoder().encode(`${line}\n`));
  }

  async hears<T>(check: (told: Record<string, unknown>) => T | undefined | false): Promise<T> {
    return await eventually(`a line in:\n${this.lines.join("\n")}`, () => {
      for (const told of this.told) {
        const found = check(told);
        if (found) return found;
      }
      return undefined;
    }, 30_000);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stdin.close().catch(() => {});
    try {
      this.#child.kill("SIGTERM");
    } catch {
      // It has exited already.
    }
    await this.ended;
  }
}

/** The expected result of every client: connected, cut, resumed, and the answer complete. */
async function checkCut(program: Pick<Program, "hears" | "told">, { model, proxy }: Line): Promise<void> {
  const exchange = await model.next();
  exchange.say("Once ");
  await program.hears(({ text }) => text === "Once ");
  proxy.cutAll();
  await program.hears(({ what }) => what === "reconnected");
  exchange.say("upon a time");
  exchange.finish();
  await program.hears(({ what }) => what === "answer");
  const told = program.told as unknown as Told[];
  const events = told.filter(({ what }) => what !== "text").map(({ what, code }) => code ?? what);
  // Deno's WebSocket reports 0 for a lost peer.
  assert.deepEqual(events.map((event) => event || 1006), ["open", 1006, "reconnected", "answer"]);
  assert.equal(told.find(({ what }) => what === "reconnected")?.resumed?.recovered, true);
  assert.deepEqual(told.at(-1), { what: "answer", text: "Once upon a time", outcome: "completed" });
  assert.equal(model.exchanges.length, 1, "the model was called once");
}

Deno.test("[HS4] [AU1] [CT1] [RS1] the npm client in Node: with ws, with Node 22's WebSocket, and as the AI SDK's transport", async () => {
  const folder = await npmFolder();
  await Deno.writeTextFile(`${folder}/client.js`, read("tests/fixtures/node_client.js.txt"));
  const hasOwn = Number(/^v(\d+)/.exec(await run("node", ["--version"], { cwd: folder }))?.[1]) >= 22;
  // `undici` is the package that provides Node 22's WebSocket.
  for (const kind of ["ws", "undici", "ai-sdk", ...(hasOwn ? ["own"] : [])]) {
    await withLine(async (line) => {
      await using program = new Program(folder, "node", ["client.js", kind, line.url, line.token]);
      await checkCut(program, line);
    });
  }
});

Deno.test("[AU1] [CT1] [RS1] the client in Deno, with a token, over a line that is cut", async () => {
  await withLine(async (line) => {
    const told: Record<string, unknown>[] = [];
    const client = new AgentClient(line.url, { getToken: () => line.token });
    for (const what of ["open", "reconnecting", "reconnected"] as const) {
      client.on(what, (event) => told.push({ what, ...event }));
    }
    const asking = (async () => {
      let text = "";
      const turn = client.query("A story");
      for await (const piece of turn) told.push({ what: "text", text: text += piece });
      told.push({ what: "answer", text, outcome: (await turn.final).outcome });
    })();
    const hears: Program["hears"] = async (check) =>
      await eventually("the client", () => told.map((one) => check(one)).find(Boolean) || undefined);
    await checkCut({ told, hears }, line);
    await asking;
    client.close();
  });
});

Deno.test("[HS4] [AU1] [RS1] wscat with a token, as header and as subprotocol, and again after a cut", async () => {
  const carriers: readonly ((token: string) => string[])[] = [
    (token) => ["-H", `Authorization: Bearer ${token}`],
    (token) => ["-s", "agent-websocket.v1", "-s", `jwt-${token}`],
  ];
  for (const carry of carriers) {
    await withLine(async ({ model, proxy, url, token }) => {
      const wscat = (query: string): Program =>
        new Program(Deno.cwd(), "npx", [
          "-y",
          WSCAT,
          "-c",
          `${url.replace("http", "ws")}?${query}`,
          ...carry(token),
        ]);
      const sessionId = await (async () => {
        await using first = wscat("stream=true");
        const id = await first.hears(({ code, session_id: id }) => code === "connected" && String(id));
        await first.say('{"type":"query","id":"q","content":"A story"}');
        (await model.next()).say("Once ");
        await first.hears(({ type }) => type === "delta");
        proxy.cutAll();
        await first.ended;
        return id;
      })();
      await using second = wscat(`session_id=${sessionId}&last_seq=1`);
      const resumed = await second.hears(({ resumed }) => resumed as { recovered: boolean } | undefined);
      assert.equal(resumed.recovered, true);
      const [exchange] = model.exchanges;
      exchange?.say("upon a time");
      exchange?.finish();
      assert.equal(
        await second.hears(({ type, content }) => type === "response" && content),
        "Once upon a time",
      );
    });
  }
});

Deno.test("[AU1] [DL2] README's lines for any WebSocket show an answer to a user", async () => {
  const [, code = ""] = /Any WebSocket will do as well:\n\n```js\n([\s\S]*?)```/.exec(read("README.md")) ??
    [];
  await withLine(async ({ model, url, token }) => {
    const address = `wss://<project-ref>.supabase.co${AGENT_PATH}`;
    assert.equal(code.split(address).length, 2);
    const connect = new Function(
      "session",
      `${code.replace(address, url.replace("http", "ws"))}\nreturn { socket, text: () => text };`,
    );
    const { socket, text } = connect({ access_token: token });
    const exchange = await model.next();
    exchange.say("Once ");
    await eventually("a delta", () => text() === "Once ");
    exchange.say("upon a time");
    exchange.finish();
    await eventually("the answer", () => text() === "Once upon a time");
    const closed = new Promise((resolve) => socket.onclose = resolve);
    socket.close();
    await closed;
  });
});
