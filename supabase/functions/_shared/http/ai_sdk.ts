/** From an upgrade at the AI SDK's path to its socket. The code that speaks the dialect is loaded with the first of them. */

import { addressKey, type AddressPolicy, type PeerInfo } from "../guard/address.ts";
import type { BytePool, WaitingBytes } from "../guard/byte_pool.ts";
import type { OnDemand } from "../on_demand.ts";
import type { Socket } from "../ports/runtime.ts";
import { CLOSE } from "../protocol/close_codes.ts";
import { AI_SDK_SUBPROTOCOL, type ConnectRequest } from "../protocol/connect_request.ts";
import { sizeOf } from "../session/frame_size.ts";
import { isResumeToken } from "../session/session_lookup.ts";
import { problem } from "./problems.ts";
import { readUpgrade, type SocketOwner, switchToWebSocket, type UpgradeDeps } from "./upgrade.ts";

/** What the owner of a socket needs to know of the upgrade. */
export interface AiSdkRequest extends Pick<ConnectRequest, "token" | "resumeToken" | "origin"> {
  address: string;
  agent: string | undefined;
}

/** Makes the owner of a socket that is coming up. */
export type OpenAiSdkSocket = (port: Socket, request: AiSdkRequest) => SocketOwner;

export interface AiSdkDeps extends UpgradeDeps {
  aiSdk: OnDemand<OpenAiSdkSocket>;
  trustedProxies: AddressPolicy;
  /** How often a peer is pinged; 0 for never. */
  heartbeatIntervalMs: number;
  waiting: BytePool;
  /** The largest frame, in bytes. */
  maxAiSdkFrameBytes: number;
}

export function connectAiSdk(
  request: Request,
  { url, peer }: { url: URL; peer: PeerInfo | undefined },
  deps: AiSdkDeps,
): Response {
  const asked = readUpgrade(request, url, deps);
  if (asked instanceof Response) return asked;
  const { token, origin, agent } = asked;
  // `params` of the transport cannot leave out a parameter.
  const resumeToken = asked.resumeToken === "" ? undefined : asked.resumeToken;
  if (resumeToken !== undefined && !isResumeToken(resumeToken)) {
    const detail =
      'Cannot connect: "resume_token" must have 43 characters of A to Z, a to z, 0 to 9, _ and -';
    return problem({ status: 400, code: "invalid_frame", detail });
  }
  const address = addressKey(request.headers, peer, deps.trustedProxies);
  return switchToWebSocket(request, {
    deps,
    subprotocol: AI_SDK_SUBPROTOCOL,
    pingIntervalMs: deps.heartbeatIntervalMs,
    own: (port) => new LateOwner(port, { token, resumeToken, origin, address, agent }, deps),
  });
}

/** Keeps what a socket tells until the code that owns it is loaded. */
class LateOwner implements SocketOwner {
  readonly #port: Socket;
  readonly #deps: AiSdkDeps;
  readonly #waiting: WaitingBytes;
  #owner: SocketOwner | undefined;

  constructor(port: Socket, request: AiSdkRequest, deps: AiSdkDeps) {
    this.#port = port;
    this.#deps = deps;
    this.#waiting = deps.waiting.account();
    deps.aiSdk.use((open) => void (this.#owner = open(port, request)), () => {});
  }

  opened(): void {
    this.#whenLoaded((owner) => owner.opened());
  }

  received(data: string | ArrayBuffer): void {
    const { aiSdk, maxAiSdkFrameBytes: max } = this.#deps;
    if (!aiSdk.isLoaded && this.#waiting.add(sizeOf(data, max), max) !== "kept") return this.#leave();
    this.#whenLoaded((owner) => owner.received(data));
  }

  lost(code: number): void {
    this.#whenLoaded((owner) => owner.lost(code));
    this.#waiting.clear();
  }

  #whenLoaded(tell: (owner: SocketOwner) => void): void {
    this.#deps.aiSdk.use(() => {
      this.#waiting.clear();
      if (this.#owner !== undefined) tell(this.#owner);
    }, () => this.#leave());
  }

  #leave(): void {
    const { code, reason } = CLOSE.tryAgainLater;
    this.#port.close(code, reason);
  }
}
