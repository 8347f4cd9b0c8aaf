/** `deno task chat` as a process against the stack: lines in, answers out, Ctrl-C. */

import assert from "node:assert/strict";
import { urlOf } from "../support/source_files.ts";
import { HandModel } from "../support/hand_model.ts";
import { bareEnv, eventually, withLocalStack } from "../support/local_stack.ts";

class ChatProcess implements AsyncDisposable {
  screen = "";
  readonly status: Promise<Deno.CommandStatus>;
  readonly #child: Deno.ChildProcess;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array>;

  constructor(args: string[], env: Record<string, string> = {}) {
    this.#child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-lock", "client/chat/main.ts", ...args],
      cwd: urlOf(""),
      clearEnv: true,
      env: { ...bareEnv(), ...env },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#stdin = this.#child.stdin.getWriter();
    const read = [this.#child.stdout, this.#child.stderr].map(async (stream) => {
      for await (const text of stream.pipeThrough(new TextDecoderStream())) this.screen += text;
    });
    this.status = Promise.all([this.#child.status, ...read]).then(([status]) => status);
  }

  async type(line: string): Promise<void> {
    await this.#stdin.write(new TextEncoder().encode(`${line}\n`));
  }

  async end(): Promise<void> {
    await this.#stdin.close();
  }

  interrupt(): void {
    this.#child.kill("SIGINT");
  }

  async shows(text: string): Promise<void> {
    await eventually(`${text} in ${JSON.stringify(this.screen)}`, () => this.screen.includes(text), 15_000);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has exited already.
    }
    await this.status;
    await this.#stdin.close().catch(() => {});
  }
}

Deno.test("deno task chat: an answer as it is written, commands, Ctrl-C that cancels, and one that quits", async () => {
  await using model = new HandModel();
  await withLocalStack({ model: { baseUrl: model.baseUrl } }, async ({ url }) => {
    await using chat = new ChatProcess([url]);
    await chat.shows("/functions/v1/agent_websocket, session ");
    await chat.type("What is a WebSocket?");
    const exchange = await model.next();
    exchange.say("A pipe ");
    await chat.shows("A pipe ");
    exchange.say("with two ends");
    exchange.finish();
    await chat.shows("A pipe with two ends\n");
    await chat.type("/history");
    await chat.shows("> What is a WebSocket?\nA pipe with two ends\n");
    await chat.type("a story");
    const story = await model.next();
    story.say("Once upon ");
    await chat.shows("Once upon ");
    chat.interrupt();
    await chat.shows("[cancelled]");
    await eventually("the end of the request to the model", () => story.abortedAt);
    chat.interrupt();
    assert.equal((await chat.status).code, 130);
  });
});

Deno.test("[RE1] deno task chat: reasoning is shown dimmed where it is wanted, and not in a pipe", async () => {
  await using model = new HandModel({
    respond: (exchange) => {
      exchange.think("Let me see.");
      exchange.say("Because.");
      exchange.finish();
    },
  });
  await withLocalStack({ model: { baseUrl: model.baseUrl } }, async ({ url }) => {
    for (const [flags, shown] of [[["--reasoning"], "\x1b[2mLet me see.\x1b[22m\n"], [[], ""]] as const) {
      await using chat = new ChatProcess([...flags, url]);
      await chat.type("Why?");
      await chat.end();
      assert.equal((await chat.status).code, 0, chat.screen);
      assert.equal(chat.screen.split("\n").slice(1).join("\n"), `${shown}Because.\n`);
    }
  });
});

Deno.test("deno task chat: lines from a pipe are all answered before it ends; the token comes from the environment", async () => {
  await using model = new HandModel({
    respond: (exchange) => {
      exchange.say(exchange.question.toUpperCase());
      exchange.finish();
    },
  });
  const options = { model: { baseUrl: model.baseUrl }, env: { AUTH_MODE: "required" }, testHooks: true };
  await withLocalStack(options, async (stack) => {
    await using chat = new ChatProcess([`${stack.url}/functions/v1/agent_websocket`], {
      AGENT_TOKEN: await stack.token(),
    });
    await chat.type("one");
    await chat.type("two");
    await chat.end();
    assert.equal((await chat.status).code, 0, chat.screen);
    assert.match(chat.screen, /ONE\nTWO\n$/);

    await using stranger = new ChatProcess(["--token", "nonsense", stack.url]);
    assert.equal((await stranger.status).code, 1);
    assert.match(stranger.screen, /closed: 4001/);
  });
});
