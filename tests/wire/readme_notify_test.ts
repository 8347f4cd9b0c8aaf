/** The README's code for notifications and for watchers, run unchanged on a stack with another port. */

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { eventually, type TestStack, withLocalStack } from "../support/local_stack.ts";
import { read, urlOf } from "../support/source_files.ts";
import { type AgentClient, connect } from "../support/agent_client.ts";
import { WireClient } from "../support/wire_client.ts";

const README_URL = "127.0.0.1:54321";

/** The fenced blocks of one language under a heading, in order. */
function blocks(heading: string, language: string): string[] {
  const [, section = ""] = read("README.md").split(`\n## ${heading}\n`);
  const [text = ""] = section.split("\n## ");
  return [...text.matchAll(/^```(\w+)\n([^]*?)^```$/gm)].flatMap(([, of, code = ""]) =>
    of === language ? [code] : []
  );
}

/** Runs a command, fails if it fails, and returns its output. */
async function run(command: string, args: readonly string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, { args: [...args], cwd: urlOf("") })
    .output();
  assert.ok(success, `${command} ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}

/** Runs a snippet as a module, after `before`, which defines the names that the snippet leaves to the reader. */
async function runModule(before: string, snippet: string): Promise<string> {
  const functions = urlOf("supabase/functions/").href;
  // In a project, the caller's function is next to `_shared`.
  const code = `${before}\n${snippet.replaceAll('"../_shared/', `"${functions}_shared/`)}`;
  const folder = await Deno.makeTempDir();
  try {
    const path = `${folder}/index.ts`;
    await Deno.writeTextFile(path, code);
    const config = fileURLToPath(urlOf("deno.json"));
    return await run(Deno.execPath(), ["run", "-A", "--quiet", "--check", `--config=${config}`, path]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** A connection whose worker has joined the relay. */
async function listening(stack: TestStack): Promise<AgentClient> {
  const client = await connect(`${stack.wsUrl}/functions/v1/agent_websocket`);
  await eventually("the relay", async () => {
    const response = await fetch(`${stack.url}/functions/v1/agent_websocket/health`);
    return (await response.json()).relay === "ok";
  });
  return client;
}

const NOTIFY = "Notify from your other functions";

Deno.test("[NT8] README.md: the helper's three lines reach a client", async () => {
  await withLocalStack({}, async (stack) => {
    await using client = await listening(stack);
    const [helper = ""] = blocks(NOTIFY, "ts");
    assert.equal(helper.trim().split("\n").length, 3);
    const names = { supabaseUrl: stack.url, secretKey: stack.keys.secretKey, reportId: "report-1" };
    const { session_id } = client.welcome;
    await runModule(constants({ ...names, session_id }), helper);
    const { id } = await client.waitFor(({ content }) => content === "Your report is ready");
    assert.equal(id, "report-1");
  });
});

Deno.test("[NT8] README.md: the curl line reaches a client", async () => {
  await withLocalStack({}, async (stack) => {
    await using client = await listening(stack);
    const [line = ""] = blocks(NOTIFY, "sh");
    assert.match(line, /^curl /);
    const here = line.replace(README_URL, new URL(stack.url).host).replace(
      "<uuid>",
      String(client.welcome.session_id),
    );
    assert.notEqual(here, line);
    const answer = JSON.parse(await run("sh", ["-c", here]));
    assert.equal(answer.durable, false);
    const { id } = await client.waitFor(({ content }) => content === "Hello from outside");
    assert.equal(id, answer.id);
  });
});

Deno.test("[NT8] README.md: supabase.functions.invoke reaches a client", async () => {
  await withLocalStack({}, async (stack) => {
    await using client = await listening(stack);
    const [, invoke = ""] = blocks(NOTIFY, "ts");
    assert.match(invoke, /supabase\.functions\.invoke/);
    const before = `import { createClient } from "@supabase/supabase-js";
      ${constants({ session_id: client.welcome.session_id })}
      const supabase = createClient("${stack.url}", "${stack.keys.secretKey}");`;
    await runModule(before, invoke);
    await client.waitFor(({ content }) => content === "Your report is ready");
  });
});

Deno.test("[AC1] README.md: the line that watches is let in, with the key in its header", async () => {
  await withLocalStack({ testHooks: true }, async (stack) => {
    const [line = ""] = blocks("Watch what the agent does", "sh");
    const [, name = "", key = ""] = /-H "(\w+): ([^"]+)"/.exec(line) ?? [];
    const [, url = ""] = /-c "([^"]+)"/.exec(line) ?? [];
    assert.ok(url.includes(README_URL) && name !== "");
    const watcher = new WireClient(url.replace(README_URL, new URL(stack.url).host), [], { [name]: key });
    await watcher.next(/"connection_established"/);
    const clients = await fetch(`${stack.url}/__local/activity/clients`);
    assert.equal((await clients.json()).length, 1);
    await watcher.close();
  });
});

/** Declarations of string constants. */
function constants(values: Readonly<Record<string, unknown>>): string {
  return Object.entries(values).map(([name, value]) => `const ${name} = ${JSON.stringify(value)};`).join(
    "\n",
  );
}
