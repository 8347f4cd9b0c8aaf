/** From a request for the live activity to a watcher of the hub: who it is says what it sees. */

import type { ActivityHub } from "../activity/activity_hub.ts";
import type { Watcher } from "../activity/activity_client.ts";
import { AgentError, toAgentError } from "../errors.ts";
import type { IdentityPolicy } from "../guard/identity.ts";
import type { Clock, Socket, WorkerLifetime } from "../ports.ts";
import { CLOSE } from "../protocol/close_codes.ts";
import type { ConnectRequest } from "../protocol/connect_request.ts";
import { renderError } from "../protocol/render.ts";
import { readUpgrade, type SocketOwner, switchToWebSocket, type UpgradeDeps } from "./upgrade.ts";

export interface WatchDeps extends UpgradeDeps {
  hub: ActivityHub;
  clock: Clock;
  lifetime: WorkerLifetime;
  identity: IdentityPolicy;
  isSecretKey(candidate: string): Promise<boolean>;
}

/** The identity is checked first, but a refusal is told after the upgrade: a browser cannot read a 401. */
export async function watch(request: Request, url: URL, deps: WatchDeps): Promise<Response> {
  const asked = readUpgrade(request, url, deps);
  if (asked instanceof Response) return asked;
  const { hub, lifetime } = deps;
  const apiKey = request.headers.get("apikey") ?? undefined;
  const watcher = await identifyWatcher(asked, apiKey, deps).catch(toAgentError);
  return switchToWebSocket(request, {
    deps,
    offersSubprotocol: asked.offersSubprotocol,
    pingIntervalMs: hub.config.heartbeatIntervalMs,
    own(port): SocketOwner {
      if (watcher instanceof AgentError) return refused(port, watcher, deps.clock);
      const client = hub.connect(port, watcher);
      const { promise, resolve } = Promise.withResolvers<void>();
      lifetime.hold(promise);
      return {
        opened: () => client.opened(),
        received: (data) => client.received(data),
        lost(code): void {
          client.lost(code);
          resolve();
        },
      };
    },
  });
}

/** A secret key sees all, a user her own, everyone all where nobody is asked who he is. Rejects with `unauthorized`. */
async function identifyWatcher(
  { token }: ConnectRequest,
  apiKey: string | undefined,
  { identity: { mode, verifier, isPublishableKey }, isSecretKey }: WatchDeps,
): Promise<Watcher> {
  if (mode === "none") return { sees: "all" };
  for (const candidate of [apiKey, token]) {
    if (candidate !== undefined && await isSecretKey(candidate)) return { sees: "all" };
  }
  if (token === undefined || isPublishableKey(token)) {
    throw new AgentError("unauthorized", "Cannot watch: send a secret key or a user's token");
  }
  const { userId, expiresAt, appMetadata } = await verifier.verify(token);
  return { sees: appMetadata?.agent_activity === "all" ? "all" : { userId }, expiresAt };
}

function refused(port: Socket, error: AgentError, clock: Clock): SocketOwner {
  return {
    opened(): void {
      port.send(JSON.stringify(renderError(error, clock.now())));
      const { code, reason } = error.code === "unauthorized" ? CLOSE.unauthorized : CLOSE.tryAgainLater;
      port.close(code, reason);
    },
    received(): void {},
    lost(): void {},
  };
}
