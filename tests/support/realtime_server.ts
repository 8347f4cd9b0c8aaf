/** The local Realtime for a test: on a port of its own, with keys, and able to be away for a while. */

import { createKeys, type LocalKeys } from "../../local/keys.ts";
import { createRealtime, type Realtime } from "../../local/realtime/realtime.ts";
import type { RealtimeOptions } from "../../local/realtime/settings.ts";
import type { Relay } from "../../supabase/functions/_shared/ports/relay.ts";

export interface TestRealtime extends AsyncDisposable {
  readonly url: string;
  readonly keys: LocalKeys;
  readonly realtime: Realtime;
  /** Requests that came, as method and path. */
  readonly requests: string[];
  /** Nobody listens on its port any more, and every connection is gone. */
  goAway(): Promise<void>;
  /** It listens on the same port again, and knows nothing of what was. */
  comeBack(): void;
}

/** As a real project's, but without delays before refusals, unless `options` say otherwise. */
export async function openTestRealtime(options: Partial<RealtimeOptions> = {}): Promise<TestRealtime> {
  const keys = await createKeys({});
  const requests: string[] = [];
  let realtime: Realtime;
  let server: Deno.HttpServer<Deno.NetAddr> | undefined;
  let aborting: AbortController;
  let port = 0;

  function start(): void {
    realtime = createRealtime({
      keys,
      delays: { joinErrorMs: 0, handshakeErrorMs: 0 },
      ...options,
    });
    aborting = new AbortController();
    const { signal } = aborting;
    server = Deno.serve({ hostname: "127.0.0.1", port, signal, onListen: () => {} }, (request) => {
      requests.push(`${request.method} ${new URL(request.url).pathname}`);
      return realtime.handle(request);
    });
    port = server.addr.port;
  }
  async function stop(): Promise<void> {
    const stopping = server;
    server = undefined;
    if (stopping === undefined) return;
    await realtime.stop();
    // Not `shutdown`: on Deno 2.9.6 it waits for ever where a client went away while its socket was being opened, of which
    // the server's end is never told (tried; not so on 2.1.4).
    aborting.abort();
    await stopping.finished;
  }

  start();
  return {
    get url(): string {
      return `http://127.0.0.1:${port}`;
    },
    get realtime(): Realtime {
      return realtime;
    },
    keys,
    requests,
    goAway: stop,
    comeBack: start,
    [Symbol.asyncDispose]: stop,
  };
}

/** Resolves as soon as `isSo`; rejects after ten seconds. It looks again and again: what it waits for tells nobody. */
export async function until(isSo: () => boolean): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!isSo()) {
    if (Date.now() > deadline) throw new Error(`Waited in vain: ${isSo}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Resolves when every topic that the relay needs is joined. */
export function joined(relay: Relay): Promise<void> {
  return until(() => relay.status === "ok");
}
