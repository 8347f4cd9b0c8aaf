/** The runtimes on which the functions must run. */

import assert from "node:assert/strict";
import { bareEnv } from "./local_stack.ts";

/** The Deno version that the platform is compatible with. */
const PLATFORM_VERSION = "2.1.4";

export interface Runtime {
  name: string;
  /** The path of its binary. */
  path(): Promise<string>;
}

let platformPath: Promise<string> | undefined;

/** The Deno of the tests, and that of the platform, from npm. */
export const RUNTIMES: readonly Runtime[] = [
  { name: `Deno ${Deno.version.deno}`, path: () => Promise.resolve(Deno.execPath()) },
  { name: `Deno ${PLATFORM_VERSION}`, path: platformDeno },
];

/** The path of the Deno that the platform is compatible with. */
export function platformDeno(): Promise<string> {
  return platformPath ??= (async () => {
    const { success, stdout, stderr } = await new Deno.Command("npx", {
      // `--no-config`, because its lockfile format is older than the project's.
      args: [
        "-y",
        `deno@${PLATFORM_VERSION}`,
        "eval",
        "--no-config",
        "console.log(Deno.execPath(), Deno.version.deno)",
      ],
      env: bareEnv(),
      clearEnv: true,
      stdin: "null",
    }).output();
    assert.ok(success, new TextDecoder().decode(stderr));
    const [path = "", version] = new TextDecoder().decode(stdout).trim().split(" ");
    assert.equal(version, PLATFORM_VERSION);
    return path;
  })();
}
