/** Clients that are not ours: the sample from the page that specified this product, and `wscat` from npm. */

import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { serverFrame } from "../../supabase/functions/_shared/protocol/server_frames.ts";
import { bareEnv, eventually, type TestStack, withLocalStack } from "../support/local_stack.ts";
import { read } from "../support/source_files.ts";

/** The placeholder address in the sample. */
const SAMPLE_URL = "wss://your-project-ref.supabase.co/functions/v1/agent_websocket";
const WSCAT = "wscat@6.1.0";

function agentUrl({ wsUrl }: TestStack): string {
  return `${wsUrl}/functions/v1/agent_websocket`;
}

/** The sample's code, unchanged except for its address. */
class SeedClient {
  /** The functions of the page that it called: name and content. */
  readonly calls: [name: string, content: string][] = [];
  readonly logged: unknown[][] = [];
  /** Delays of the timers that it set. They never fire. */
  readonly timers: number[] = [];
  readonly socket: WebSocket;
  readonly sendMessage: (content: unknown) => void;

  constructor(url: string) {
    const source = read("tests/fixtures/seed_client.js.txt");
    assert.equal(source.split(SAMPLE_URL).length, 2);
    const page = ["displayResponse", "showNotification", "updateStatus", "showError"];
    const record = (...args: unknown[]): void => void this.logged.push(args);
    const run = new Function(
      ...page,
      "console",
      "setTimeout",
      `${source.replace(SAMPLE_URL, url)}\nreturn { socket, sendMessage };`,
    );
    const { socket, sendMessage } = run(
      ...page.map((name) => (content: string) => void this.calls.push([name, content])),
      { log: record, error: record },
      (_: unknown, delay: number) => void this.timers.push(delay),
    );
    this.socket = socket;
    this.sendMessage = sendMessage;
  }

  async called(name: string, content: RegExp): Promise<string> {
    const [, found] = await eventually(
      `${name}(${content}) (it called ${JSON.stringify(this.calls)})`,
      () => this.calls.find((call) => call[0] === name && content.test(call[1])),
      10_000,
    );
    return found;
  }
}

Deno.test("[FR3] [HS3] [QU1] [DL1] [FR6] the sample client of the seed works unchanged", async () => {
  await withLocalStack({ model: "mock" }, async (stack) => {
    const client = new SeedClient(agentUrl(stack));
    await client.called("showNotification", /^Connected to Agent WebSocket\. Session ID: [0-9a-f-]{36}$/);
    client.sendMessage("Hello");
    await client.called("updateStatus", /^Thinking\.\.\.$/);
    await client.called("displayResponse", /^Hello! I am the mock model/);
    client.sendMessage("what did I say before?");
    await client.called("displayResponse", /“Hello”/);
    client.sendMessage("");
    await client.called("showError", /^Message content is required$/);

    // Only what it asked for: no deltas, and no unknown frames.
    const names = client.calls.map(([name]) => name);
    assert.deepEqual(names, [
      "showNotification",
      "updateStatus",
      "displayResponse",
      "updateStatus",
      "displayResponse",
      "showError",
    ]);
    assert.equal(client.logged.filter(([words]) => words === "Received message:").length, names.length);

    client.socket.close(1000);
    await eventually(
      "the end of the connection",
      () => client.logged.find(([words]) => words === "Connection closed:"),
    );
    assert.deepEqual(client.timers, [], "it reconnects after a normal close");
  });
});

Deno.test("[FR1] [QU1] [DL1] wscat talks to the agent, and is told of a mistake", async () => {
  await withLocalStack({ model: "mock" }, async (stack) => {
    const wscat = new Deno.Command("npx", {
      args: ["-y", WSCAT, "-c", `${agentUrl(stack)}?stream=true`],
      clearEnv: true,
      env: { ...bareEnv(), NO_COLOR: "1" },
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const lines: string[] = [];
    const reading = (async () => {
      for await (const line of createInterface({ input: Readable.fromWeb(wscat.stdout) })) lines.push(line);
    })();
    const stdin = wscat.stdin.getWriter();
    const frames = (): Record<string, unknown>[] =>
      lines.flatMap((line) => {
        // A prompt, if any, and then the received frame.
        const json = /^(?:> )*(\{.*\})$/.exec(line)?.[1];
        return json === undefined ? [] : [serverFrame.parse(JSON.parse(json))];
      });
    const say = (line: string): Promise<void> => stdin.write(new TextEncoder().encode(`${line}\n`));
    const frame = (type: string, withinMs = 10_000): Promise<Record<string, unknown>> =>
      eventually(
        `a ${type} in ${JSON.stringify(lines)}`,
        () => frames().find((one) => one.type === type),
        withinMs,
      );
    try {
      assert.equal((await frame("notification", 60_000)).code, "connected");
      await say('{"type":"query","content":"Hello","id":"one"}');
      const answer = await frame("response");
      assert.match(String(answer.content), /^Hello! I am the mock model/);
      assert.equal(answer.in_reply_to, "one");
      assert.ok(frames().some(({ type }) => type === "delta"));
      await say("Hello, without any JSON");
      assert.equal((await frame("error")).code, "invalid_json");
      await say('{"content":"Hello","id":"two"}');
      await eventually(
        "an answer after the mistake",
        () => frames().find(({ type, in_reply_to: id }) => type === "response" && id === "two"),
      );
    } finally {
      await stdin.close();
      await wscat.status;
      await reading;
    }
  });
});
