/** From a request for the live activity to a watcher of the hub: who it is says what it sees. */

import type { Watcher } from "../activity/activity_client.ts";
import { AgentError } from "../errors.ts";
import { addressKey, type AddressPolicy, type PeerInfo } from "../guard/address.ts";
import type { IdentityPolicy } from "../guard/identity.ts";
import type { IncomingRequest } from "../session/incoming_request.ts";
import { readUpgrade, switchToWebSocket, type UpgradeDeps } from "./upgrade.ts";
import { WatcherSocket, type WatcherSocketDeps } from "./watcher_socket.ts";

export interface WatchDeps extends UpgradeDeps, WatcherSocketDeps {
  trustedProxies: AddressPolicy;
  /** How often a watcher is pinged; 0 for never. */
  activityPingIntervalMs: number;
  identity: IdentityPolicy;
  isSecretKey(candidate: string): Promise<boolean>;
}

/**
 * The identity is checked after the upgrade: a browser cannot read a 401, and a client that goes away while an upgrade
 * waits leaves Deno 2.9.6 with a socket that never fires `close`.
 */
export function watch(
  request: Request,
  { url, peer }: { url: URL; peer: PeerInfo | undefined },
  deps: WatchDeps,
): Response {
  const asked = readUpgrade(request, url, deps);
  if (asked instanceof Response) return asked;
  const address = addressKey(request.headers, peer, deps.trustedProxies);
  const apiKey = request.headers.get("apikey") ?? undefined;
  return switchToWebSocket(request, {
    deps,
    pingIntervalMs: deps.activityPingIntervalMs,
    own: (port) =>
      new WatcherSocket(port, {
        address,
        identify: () => identifyWatcher({ ...asked, address }, apiKey, deps),
      }, deps),
  });
}

/** A secret key sees all, a user their own, and without `AUTH_MODE` everyone sees all. Rejects with `unauthorized`. */
async function identifyWatcher(
  { token, address }: Pick<IncomingRequest, "token" | "address">,
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
  const { userId, expiresAt, appMetadata } = await verifier.verify(token, address);
  return { sees: appMetadata?.agent_activity === "all" ? "all" : { userId }, expiresAt };
}
