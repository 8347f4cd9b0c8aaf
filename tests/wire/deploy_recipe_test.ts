/**
 * Runs the deployment commands of README.md and docs/DEPLOY.md unchanged, with the real CLI and without a terminal,
 * against a test management API and a test database. `login` is left out because it needs a browser. The linked
 * project's database is not reachable from here, so the migrations go to a database given by its URL.
 */

import assert from "node:assert/strict";
import { fileURLToPath, pathToFileURL } from "node:url";
import postgres from "postgres";
import { SUPABASE_ROLES } from "../../local/supabase_roles.ts";
import { buildBundle, bundledFiles, copyFiles } from "../support/deploy_bundle.ts";
import { bareEnv } from "../support/local_stack.ts";
import { ManagementApi } from "../support/management_api.ts";
import { startPostgres } from "../support/postgres_server.ts";
import { sectionOf } from "../support/section.ts";
import { filesUnder, read } from "../support/source_files.ts";

const VALUES: Readonly<Record<string, string>> = {
  "<your-project-ref>": ManagementApi.projectRef,
  "<your-openrouter-key>": "sk-or-v1-0123",
};
const FUNCTIONS = ["agent_websocket", "notify_websocket"];

/** The command lines of a document, with the test's values. */
function documented(path: string, section = "deploy"): string[] {
  const [, code = ""] = /```\w+\n([\s\S]*?)```/.exec(sectionOf(read(path), section)) ?? [];
  const lines = code.trim().split("\n");
  return lines.map((line) => line.replaceAll(/<[\w-]+>/g, (name) => VALUES[name] ?? assert.fail(name)));
}

/** The only line that contains these words. */
function lineOf(words: string): string {
  const [line, ...more] = documented("README.md").filter((one) => one.includes(words));
  assert.ok(line !== undefined && more.length === 0, words);
  return line;
}

interface Outcome {
  code: number;
  output: string;
}

/** A folder that contains only what is deployed, and a CLI that knows only the test's API. */
class Workplace implements AsyncDisposable {
  readonly #folder: string;
  readonly #env: Record<string, string>;

  private constructor(folder: string, env: Record<string, string>) {
    this.#folder = folder;
    this.#env = env;
  }

  static async open(api: ManagementApi): Promise<Workplace> {
    const folder = await Deno.makeTempDir();
    const project = pathToFileURL(`${folder}/project/`);
    const migrations = filesUnder("supabase/migrations", ".sql");
    const functions = filesUnder("supabase/functions", "");
    await copyFiles(["supabase/config.toml", ...migrations, ...functions], project);
    await Deno.writeTextFile(`${folder}/profile.yaml`, api.profile);
    return new Workplace(folder, {
      ...bareEnv(),
      SUPABASE_ACCESS_TOKEN: ManagementApi.accessToken,
      SUPABASE_DB_PASSWORD: "not-asked-for",
      SUPABASE_HOME: `${folder}/home`,
      SUPABASE_NO_KEYRING: "1",
      SUPABASE_NO_UPDATE_NOTIFIER: "1",
      SUPABASE_PROFILE: `${folder}/profile.yaml`,
      SUPABASE_TELEMETRY_DISABLED: "1",
      NO_COLOR: "1",
    });
  }

  async run(line: string): Promise<Outcome> {
    const { code, stdout, stderr } = await new Deno.Command("sh", {
      args: ["-c", line],
      cwd: `${this.#folder}/project`,
      clearEnv: true,
      env: this.#env,
      stdin: "null",
    }).output();
    return { code, output: [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)).join("\n") };
  }

  async succeed(line: string): Promise<string> {
    const { code, output } = await this.run(line);
    assert.equal(code, 0, `${line}\n${output}`);
    return output;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.#folder, { recursive: true });
  }
}

Deno.test("README.md and docs/DEPLOY.md deploy with the same lines, of one version of the CLI", () => {
  const lines = documented("README.md");
  assert.deepEqual(documented("docs/DEPLOY.md"), lines);
  const commands = lines.map((line) => /^npx -y supabase@\d+\.\d+\.\d+ ([a-z]+( [a-z]+)?)/.exec(line)?.[1]);
  assert.deepEqual(commands, ["login", "link", "db push", "secrets set", "functions deploy"]);
  const versions = ["README.md", "docs/DEPLOY.md"].flatMap((path) =>
    [...read(path).matchAll(/npx -y supabase(\S*)/g)].map(([, version]) => version)
  );
  assert.equal(new Set(versions).size, 1, versions.join(" "));
});

Deno.test("the documented lines deploy: the real CLI links, sets the secret and uploads both functions, and nothing else", async () => {
  await using api = new ManagementApi();
  await using workplace = await Workplace.open(api);
  await workplace.succeed(lineOf("link"));

  const secret = lineOf("secrets set");
  assert.equal((await workplace.run(secret.replace(" --yes", ""))).code, 1);
  assert.equal(
    api.secrets.size,
    0,
    "without --yes nothing changes, so a documented line without it fails here",
  );
  await workplace.succeed(secret);
  assert.deepEqual([...api.secrets], [["OPENROUTER_API_KEY", VALUES["<your-openrouter-key>"]]]);

  await workplace.succeed(lineOf("functions deploy"));
  assert.deepEqual([...api.functions.keys()].sort(), FUNCTIONS);
  for (const [name, { files, metadata }] of api.functions) {
    const folder = `supabase/functions/${name}`;
    assert.deepEqual(metadata, {
      name,
      entrypoint_path: `${folder}/index.ts`,
      import_map_path: `${folder}/deno.json`,
      verify_jwt: false,
    });
    assert.deepEqual([...files.keys()].sort(), bundledFiles(name));
    for (const [path, text] of files) assert.equal(text, read(path), path);
  }
  assert.deepEqual(api.refused, []);

  // This targets the linked project, whose database cannot be reached from here.
  const { output } = await workplace.run(lineOf("db push"));
  assert.match(output, new RegExp(`Target: project the test's \\(${ManagementApi.projectRef}\\)`));
});

Deno.test("the documented lines deploy a bundle: the real CLI uploads all its files, and nothing else", async () => {
  await using api = new ManagementApi();
  await using workplace = await Workplace.open(api);
  const [build = "", deploy = ""] = documented("docs/DEPLOY.md", "bundle");
  assert.match(build, /^npx -y deno@\S+ task bundle$/);
  const folder = await buildBundle();
  try {
    const [, workdir] = / --workdir (\S+)/.exec(deploy) ?? assert.fail(deploy);
    assert.equal(workdir, "dist/bundle", "the folder of `task bundle`");
    await workplace.succeed(deploy.replace(workdir, fileURLToPath(folder)));
    assert.deepEqual([...api.functions.keys()].sort(), FUNCTIONS);
    for (const [name, { files, metadata }] of api.functions) {
      const directory = `supabase/functions/${name}`;
      assert.deepEqual(metadata, {
        name,
        entrypoint_path: `${directory}/index.js`,
        import_map_path: "",
        verify_jwt: false,
      });
      const built = [...Deno.readDirSync(new URL(directory, folder))].map((file) =>
        `${directory}/${file.name}`
      );
      assert.deepEqual([...files.keys()].sort(), built.sort());
      for (const [path, text] of files) {
        assert.equal(text, Deno.readTextFileSync(new URL(path, folder)), path);
      }
    }
    assert.deepEqual(api.refused, []);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("the documented `db push` applies the migrations, and a second time nothing", async () => {
  await using api = new ManagementApi();
  await using workplace = await Workplace.open(api);
  const { url, stop } = await startPostgres("15");
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  try {
    await sql.unsafe(SUPABASE_ROLES);
    const push = lineOf("db push");
    const there = push.replace("--remote", `--remote=${url}`);
    assert.notEqual(there, push);
    await workplace.succeed(there);
    const applied = await sql<{ version: string }[]>`
      select version from supabase_migrations.schema_migrations order by version`;
    assert.deepEqual(
      applied.map(({ version }) => version),
      filesUnder("supabase/migrations", ".sql").map((path) => /(\d+)_/.exec(path)?.[1]),
    );
    const [{ version } = {}] = await sql<
      { version: number }[]
    >`select public.agent_store_version() as version`;
    assert.ok(Number(version) >= 1);
    assert.match(await workplace.succeed(there), /up to date/);
  } finally {
    await sql.end();
    await stop();
  }
});
