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

/** Frames of a watcher that does not wait to be told who it is, kept until that is known. */
const MAX_EARLY_FRAMES = 20;

export interface WatchDeps extends UpgradeDeps {
  /** Rejects where it cannot be had. */
  hub(): Promise<ActivityHub>;
  /** How often a watcher is pinged; 0 for never. */
  activityPingIntervalMs: number;
  clock: Clock;
  lifetime: WorkerLifetime;
  identity: IdentityPolicy;
  isSecretKey(candidate: string): Promise<boolean>;
}

/**
 * The identity is checked after the upgrade: a browser cannot read a 401, and a client that goes away while an upgrade
 * waits leaves Deno 2.9.6 with a socket that never tells of its end.
 */
export function watch(request: Request, url: URL, deps: WatchDeps): Response {
  const asked = readUpgrade(request, url, deps);
  if (asked instanceof Response) return asked;
  const apiKey = request.headers.get("apikey") ?? undefined;
  return switchToWebSocket(request, {
    deps,
    offersSubprotocol: asked.offersSubprotocol,
    pingIntervalMs: deps.activityPingIntervalMs,
    own: (port) => new WatcherSocket(port, () => identifyWatcher(asked, apiKey, deps), deps),
  });
}

/** Stands before the hub's client until it is known what the watcher may see. */
class WatcherSocket implements SocketOwner {
  readonly #port: Socket;
  readonly #identify: () => Promise<Watcher>;
  readonly #deps: WatchDeps;
  #client: SocketOwner | undefined;
  #early: (string | ArrayBuffer)[] = [];
  #isLost = false;
  readonly #gone = Promise.withResolvers<void>();

  constructor(port: Socket, identify: () => Promise<Watcher>, deps: WatchDeps) {
    this.#port = port;
    this.#identify = identify;
    this.#deps = deps;
    deps.lifetime.hold(this.#gone.promise);
  }

  opened(): void {
    this.#deps.lifetime.hold(this.#admit().catch((thrown) => this.#refuse(thrown)));
  }

  received(data: string | ArrayBuffer): void {
    if (this.#client !== undefined) this.#client.received(data);
    else if (this.#early.length < MAX_EARLY_FRAMES) this.#early.push(data);
  }

  lost(code: number): void {
    this.#isLost = true;
    this.#client?.lost(code);
    this.#gone.resolve();
  }

  async #admit(): Promise<void> {
    const watcher = await this.#identify();
    const hub = await this.#deps.hub();
    if (this.#isLost) return;
    const client = this.#client = hub.connect(this.#port, watcher);
    client.opened();
    for (const data of this.#early) client.received(data);
    this.#early = [];
  }

  #refuse(thrown: unknown): void {
    const error = toAgentError(thrown);
    this.#port.send(JSON.stringify(renderError(error, this.#deps.clock.now())));
    const { code, reason } = error.code === "unauthorized" ? CLOSE.unauthorized : CLOSE.tryAgainLater;
    this.#port.close(code, reason);
  }
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
