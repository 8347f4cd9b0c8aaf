/** The files that a deployment uploads, alone in a folder outside of the project, on the platform's Deno. */

import assert from "node:assert/strict";
import { fileURLToPath, pathToFileURL } from "node:url";
import { AgentProcess, withAgent } from "../support/agent_process.ts";
import { buildBundle, bundledFiles, copyFiles, uploadedWith } from "../support/deploy_bundle.ts";
import { echo, HandModel } from "../support/hand_model.ts";
import { bareEnv, eventually } from "../support/local_stack.ts";
import { startAuthServer } from "../support/jwks_server.ts";
import { openTestRealtime } from "../support/realtime_server.ts";
import { platformDeno } from "../support/runtimes.ts";
import { filesUnder, urlOf } from "../support/source_files.ts";
import { signingKey, userClaims } from "../support/tokens.ts";
import { connect } from "../support/agent_client.ts";

const FUNCTION = "agent_websocket";
const FUNCTIONS = filesUnder("supabase/functions", "deno.json").map((file) => file.split("/")[2] ?? "");
/** Imported by the functions and the agents of the project's users, not by ours. */
const FOR_OTHERS = [
  "supabase/functions/_shared/notify/client.ts",
  "supabase/functions/_shared/agent/mcp.ts",
  ...filesUnder("supabase/functions/_shared/agent/mcp", ".ts"),
];
/** The limit in docs/DEPLOY.md: a quarter of what the platform accepts as an upload to bundle. */
const MAX_UPLOAD_BYTES = 1_250_000;
/** The platform's limit for a bundle. */
const MAX_BUNDLE_BYTES = 20_000_000;

Deno.test("`supabase functions deploy` uploads no file of the project but the function's and what it needs of _shared", () => {
  const uploaded = FUNCTIONS.map((name) => bundledFiles(name));
  for (const [index, files] of uploaded.entries()) {
    for (const file of files) {
      assert.match(file, new RegExp(`^supabase/functions/(${FUNCTIONS[index]}|_shared)/`));
    }
    const bytes = files.reduce((sum, file) => sum + Deno.statSync(urlOf(file)).size, 0);
    assert.ok(bytes < MAX_UPLOAD_BYTES, `${bytes} bytes`);
  }
  const sources = filesUnder("supabase/functions", ".ts").filter((file) => !FOR_OTHERS.includes(file));
  assert.deepEqual(
    sources.filter((file) => !uploaded.flat().includes(file)),
    [],
    "files that no function uploads",
  );
});

/** The folders of what is uploaded, by function. */
type Directories = (name: string) => URL;

/** Runs `body` with a folder that contains only what is uploaded for these functions. */
async function withUploaded(
  functions: readonly string[],
  body: (directoryOf: Directories) => Promise<void>,
): Promise<void> {
  const folder = pathToFileURL(`${await Deno.makeTempDir()}/`);
  try {
    for (const name of functions) await copyFiles(bundledFiles(name), folder);
    await body((name) => new URL(`supabase/functions/${name}/`, folder));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** A user connects to the function in this folder, and has one turn. */
async function haveTurn(options: { deno: string; directory: URL; isBundle?: boolean }): Promise<void> {
  const key = await signingKey("ES256", "key-of-this-test");
  await using model = new HandModel({ respond: echo });
  await using auth = startAuthServer({ keys: [key] });
  const env = { AUTH_MODE: "required", SUPABASE_URL: auth.url, OPENROUTER_BASE_URL: model.baseUrl };
  await withAgent({ ...options, env }, async ({ wsUrl }) => {
    const token = await key.sign(userClaims(Date.now()));
    await using client = await connect(`${wsUrl}?stream=true`, {
      protocols: ["agent-websocket.v1", `jwt-${token}`],
    });
    assert.equal(client.socket.protocol, "agent-websocket.v1");
    assert.equal(client.welcome.resume_token, undefined, "accepted as a user");
    assert.equal((await client.answer("Are you there?")).content, "You said: Are you there?");
    assert.ok(client.frames.some(({ type }) => type === "delta"));
  });
}

Deno.test("[AU2] [HS4] what is uploaded of agent_websocket runs alone on the platform's Deno: a user, one turn", async () => {
  const deno = await platformDeno();
  await withUploaded([FUNCTION], async (directoryOf) => {
    const directory = directoryOf(FUNCTION);
    await haveTurn({ deno, directory });
    const bytes = await bundleBytes(deno, directory);
    assert.ok(bytes < MAX_BUNDLE_BYTES, `${bytes} bytes`);
  });
});

/** A notification reaches a client of the functions in these folders. */
async function notify(directoryOf: Directories, { isBundle = false } = {}): Promise<void> {
  const deno = await platformDeno();
  await using realtime = await openTestRealtime();
  const { secretKey } = realtime.keys;
  const env = {
    SUPABASE_URL: realtime.url,
    SUPABASE_SECRET_KEYS: JSON.stringify({ default: secretKey }),
    SESSION_STORE: "memory",
  };
  const start = (name: string): AgentProcess =>
    new AgentProcess({ deno, directory: directoryOf(name), isBundle, env });
  await using agent = start("agent_websocket");
  await using notifier = start("notify_websocket");
  await Promise.all([agent.listening(), notifier.listening()]);
  await using client = await connect(agent.wsUrl);
  const post = async (body: unknown): Promise<{ status: number; code?: string; field?: string }> => {
    const response = await fetch(`http://127.0.0.1:${notifier.port}/notify_websocket`, {
      method: "POST",
      headers: { apikey: secretKey, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    return { ...await response.json(), status: response.status };
  };
  const { status, field } = await post({ session_id: client.welcome.session_id, message: 7 });
  assert.deepEqual([status, field], [400, "message"]);
  await eventually("the agent listens", async () => (await agent.health()).relay === "ok");
  const sent = await post({ session_id: client.welcome.session_id, message: "Your report is ready" });
  assert.equal(sent.status, 202);
  const shown = await client.waitFor(({ content }) => content === "Your report is ready");
  assert.deepEqual([shown.type, shown.seq], ["notification", 1]);
}

Deno.test("[NT1] [NT5] what is uploaded of both functions runs alone on the platform's Deno: a notification reaches a client", async () => {
  await withUploaded(FUNCTIONS, (directoryOf) => notify(directoryOf));
});

Deno.test("`deno task bundle` makes all that runs on the platform's Deno, and no file that is not uploaded", async () => {
  const folder = await buildBundle();
  try {
    for (const name of FUNCTIONS) {
      const directory = `supabase/functions/${name}`;
      const files = [...Deno.readDirSync(new URL(directory, folder))].map((file) =>
        `${directory}/${file.name}`
      );
      assert.deepEqual(uploadedWith(`${directory}/index.js`, folder).sort(), files.sort());
    }
    const directoryOf = (name: string): URL => new URL(`supabase/functions/${name}/`, folder);
    await haveTurn({ deno: await platformDeno(), directory: directoryOf(FUNCTION), isBundle: true });
    await notify(directoryOf, { isBundle: true });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** Runs `deno task bundle`'s script in a copy of what it reads, with this agent. */
async function bundleWith(
  agent: string,
  target = "out",
): Promise<{ success: boolean; error: string; out: URL; folder: URL }> {
  const folder = pathToFileURL(`${await Deno.makeTempDir()}/`);
  await copyFiles(["deploy/bundle.ts", ...filesUnder("supabase", "")], folder);
  await Deno.writeTextFile(new URL("supabase/functions/agent_websocket/agent.ts", folder), agent);
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-config", "deploy/bundle.ts", target],
    cwd: folder,
    // `deno task` sets it, also for the process of this test.
    env: { INIT_CWD: fileURLToPath(folder) },
    stdin: "null",
  }).output();
  return { success, error: new TextDecoder().decode(stderr), out: new URL(`${target}/`, folder), folder };
}

Deno.test("a bundle runs with a package in CommonJS, which requires modules of Node", async () => {
  const agent = 'import { defineAgent } from "../_shared/agent/mod.ts";\nimport ws from "npm:ws@8.23.0";\n' +
    "export default defineAgent({ model: ws.name });\n";
  const { success, error, out, folder } = await bundleWith(agent);
  try {
    assert.ok(success, error);
    const directory = new URL(`supabase/functions/${FUNCTION}/`, out);
    await withAgent({ directory, isBundle: true }, async ({ url }) => {
      const response = await fetch(`${url}/health`);
      assert.equal((await response.json()).status, "ok");
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a bundle replaces nothing but a bundle: the project itself stays as it is", async () => {
  const { success, error, folder } = await bundleWith("export default 1;\n", ".");
  try {
    assert.deepEqual([success, /is no bundle/.test(error)], [false, true], error);
    const agent = new URL("supabase/functions/agent_websocket/agent.ts", folder);
    assert.equal(await Deno.readTextFile(agent), "export default 1;\n");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

interface ModuleGraph {
  modules: readonly { size?: number }[];
  npmPackages: Readonly<Record<string, { name: string; version: string }>>;
}

/** The size of the source files and of whole npm packages, unpacked. The bundle cannot be larger. */
async function bundleBytes(deno: string, directory: URL): Promise<number> {
  const info = async <T>(...args: string[]): Promise<T> => {
    const { success, stdout, stderr } = await new Deno.Command(deno, {
      args: ["info", "--json", ...args],
      clearEnv: true,
      env: { ...bareEnv(), DENO_TLS_CA_STORE: "mozilla,system" },
      cwd: directory,
      stdin: "null",
    }).output();
    assert.ok(success, new TextDecoder().decode(stderr));
    return JSON.parse(new TextDecoder().decode(stdout));
  };
  const { npmCache } = await info<{ npmCache: string }>();
  const { modules, npmPackages } = await info<ModuleGraph>("--config=deno.json", "index.ts");
  let bytes = modules.reduce((sum, { size = 0 }) => sum + size, 0);
  for (const { name, version } of Object.values(npmPackages)) {
    bytes += await folderBytes(pathToFileURL(`${npmCache}/registry.npmjs.org/${name}/${version}/`));
  }
  return bytes;
}

async function folderBytes(folder: URL): Promise<number> {
  let bytes = 0;
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    bytes += isDirectory
      ? await folderBytes(new URL(`${name}/`, folder))
      : (await Deno.stat(new URL(name, folder))).size;
  }
  return bytes;
}
