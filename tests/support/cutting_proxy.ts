/** A TCP proxy that cuts every connection after a number of bytes, at any point in the stream, or when it is told to. */

import { close, writeAll } from "../../local/relay.ts";

export interface CuttingProxyOptions {
  /** The loopback port to forward to. */
  port: number;
  /** The number of bytes, in both directions together, after which the next connection is cut. Default: it is not. */
  bytes?(): number;
}

export class CuttingProxy implements AsyncDisposable {
  cuts = 0;
  readonly #options: CuttingProxyOptions;
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #open = new Set<Promise<void>>();
  #ended = new AbortController();
  #silenced = new AbortController();

  constructor(options: CuttingProxyOptions) {
    this.#options = options;
    this.#open.add(this.#listen());
  }

  get port(): number {
    return this.#listener.addr.port;
  }

  /** Cuts every open connection. */
  cutAll(): void {
    this.cuts++;
    this.#ended.abort();
    this.#ended = new AbortController();
  }

  /** Makes every open connection dead without a sign: it stays open, and what is sent on it is lost. */
  silenceAll(): void {
    this.#silenced.abort();
    this.#silenced = new AbortController();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    this.#ended.abort();
    await Promise.all(this.#open);
  }

  async #listen(): Promise<void> {
    try {
      for await (const client of this.#listener) this.#open.add(this.#join(client));
    } catch (error) {
      if (!(error instanceof Deno.errors.BadResource)) throw error;
    }
  }

  async #join(client: Deno.TcpConn): Promise<void> {
    let left = this.#options.bytes?.() ?? Infinity;
    const server = await Deno.connect({ hostname: "127.0.0.1", port: this.#options.port });
    const cut = (): void => {
      close(client);
      close(server);
    };
    const { signal } = this.#ended;
    const { signal: silenced } = this.#silenced;
    signal.addEventListener("abort", cut);
    const pump = async (from: Deno.TcpConn, to: Deno.TcpConn): Promise<void> => {
      const buffer = new Uint8Array(4096);
      for (;;) {
        const read = await from.read(buffer);
        if (read === null) return;
        const passed = buffer.subarray(0, Math.min(read, left));
        left -= passed.length;
        if (!silenced.aborted) await writeAll(to, passed);
        if (left > 0) continue;
        this.cuts++;
        return;
      }
    };
    const pumps = [pump(client, server), pump(server, client)].map((one) => one.catch(() => {}));
    await Promise.race(pumps);
    cut();
    await Promise.all(pumps);
    signal.removeEventListener("abort", cut);
  }
}
