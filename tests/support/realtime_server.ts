/** The local Realtime for a test, on its own port and with its own keys. A test can take it down and bring it back. */

import { createKeys, type LocalKeys } from "../../local/keys.ts";
import { createRealtime, type Realtime } from "../../local/realtime/realtime.ts";
import type { RealtimeOptions } from "../../local/realtime/settings.ts";
import type { Relay } from "../../supabase/functions/_shared/ports/relay.ts";

export interface TestRealtime extends AsyncDisposable {
  readonly url: string;
  readonly keys: LocalKeys;
  readonly realtime: Realtime;
  /** Requests received, as method and path. */
  readonly requests: string[];
  /** Stops listening on the port and closes every connection. */
  goAway(): Promise<void>;
  /** Listens on the same port again, with no state from before. */
  comeBack(): void;
}

/** Configured like a real project's Realtime, but refusals are not delayed. `options` override this. */
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
    // Not `shutdown`: on Deno 2.9.6 it never settles if a client disconnected while its socket was being opened,
    // because the server is not notified of that end (tried; it does settle on 2.1.4).
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

/** Polls until `isSo` is true; rejects after thirty seconds. It polls because these conditions emit no event. */
export async function until(isSo: () => boolean): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!isSo()) {
    if (Date.now() > deadline) throw new Error(`Waited in vain: ${isSo}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Resolves when the relay has joined every topic that it needs. */
export function joined(relay: Relay): Promise<void> {
  return until(() => relay.status === "ok");
}
