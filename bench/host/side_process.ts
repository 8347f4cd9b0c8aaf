/** A server that the measured processes use, in a process of its own. */

import { invalid } from "../report/invalid.ts";

export interface SideProcessOptions {
  /** The name in the error message if it does not start. */
  name: string;
  /** Flags of `deno run`. */
  flags?: readonly string[];
}

export class SideProcess {
  readonly port: number;
  readonly #child: Deno.ChildProcess;

  private constructor(port: number, child: Deno.ChildProcess) {
    this.port = port;
    this.#child = child;
  }

  /** Starts `entry`, which prints its port once it listens, and ends when its standard input ends. */
  static async start(entry: URL, { name, flags = [] }: SideProcessOptions): Promise<SideProcess> {
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--quiet", ...flags, entry.href],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const { value } = await child.stdout.pipeThrough(new TextDecoderStream()).getReader().read();
    const port = Number(value);
    if (!(port > 0)) throw invalid(`${name} did not start`);
    return new SideProcess(port, child);
  }

  /** Closes its standard input instead of killing it: it may have something to clean up first. */
  async stop(): Promise<void> {
    await this.#child.stdin.close();
    await this.#child.status;
  }
}
