/** A socket of the live activity until it is known what its watcher may see; then the hub's client has it. */

import type { ActivityHub } from "../activity/activity_hub.ts";
import type { Watcher } from "../activity/activity_client.ts";
import { AgentError, toAgentError } from "../errors.ts";
import type { BytePool, WaitingBytes } from "../guard/byte_pool.ts";
import type { Slot, Slots } from "../guard/slots.ts";
import type { CancelTimer, Clock, Socket, WorkerLifetime } from "../ports/runtime.ts";
import { ACTIVITY_CLOSE, CLOSE, type Closing } from "../protocol/close_codes.ts";
import { renderError } from "../protocol/render.ts";
import { FAR_OVER, sizeOf } from "../session/frame_size.ts";
import type { SocketOwner } from "./upgrade.ts";

/** Caps, in frames and in bytes, for what a watcher sends before its identity is known. */
const MAX_EARLY_FRAMES = 20;
const MAX_EARLY_BYTES = 65_536;
/** How long a peer may take to answer a close. */
const CLOSE_TIMEOUT_MS = 5000;
/** Under which sockets that wait are counted. */
const WAITING = "watchers";

export interface WatcherSocketDeps {
  clock: Clock;
  lifetime: WorkerLifetime;
  /** Rejects where it cannot be had. */
  hub(): Promise<ActivityHub>;
  /** How long it may take until it is known who it is. */
  authTimeoutMs: number;
  maxMessageBytes: number;
  /** Watchers of the worker: so many may wait as well. 0 for any number. */
  maxWatchers: number;
  /** Sockets of one address that are no user's of the agent; 0 for any number. */
  maxConnectionsPerAddress: number;
  addresses: Slots;
  waitingWatchers: Slots;
  waiting: BytePool;
  /** Whether the worker takes no more watchers: the hub may have closed the others already. */
  isDraining(): boolean;
}

type State =
  | { name: "waiting"; early: (string | ArrayBuffer)[]; cancelDeadline: CancelTimer; place: Slot }
  | { name: "watching"; client: SocketOwner }
  | { name: "leaving"; cancelTimeout: CancelTimer }
  | { name: "opening" | "gone" };

export class WatcherSocket implements SocketOwner {
  readonly #port: Socket;
  readonly #address: string;
  readonly #identify: () => Promise<Watcher>;
  readonly #deps: WatcherSocketDeps;
  readonly #bytes: WaitingBytes;
  readonly #gone = Promise.withResolvers<void>();
  #addressSlot: Slot | undefined;
  #state: State = { name: "opening" };

  /** `identify` rejects with the error to send to the watcher. */
  constructor(
    port: Socket,
    { address, identify }: { address: string; identify: () => Promise<Watcher> },
    deps: WatcherSocketDeps,
  ) {
    this.#port = port;
    this.#address = address;
    this.#identify = identify;
    this.#deps = deps;
    this.#bytes = deps.waiting.account();
    deps.lifetime.hold(this.#gone.promise);
  }

  opened(): void {
    const {
      addresses,
      waitingWatchers,
      maxWatchers,
      maxConnectionsPerAddress,
      clock,
      authTimeoutMs,
      lifetime,
    } = this.#deps;
    if (this.#state.name !== "opening") return;
    this.#addressSlot = addresses.take(this.#address, maxConnectionsPerAddress);
    if (this.#addressSlot === undefined) {
      const message = "Cannot watch: this address has all the connections it may have";
      return this.#refuse(new AgentError("too_many_connections", message, { retryable: true }));
    }
    const place = waitingWatchers.take(WAITING, maxWatchers);
    if (place === undefined) return this.#leave(ACTIVITY_CLOSE.full);
    const cancelDeadline = clock.after(authTimeoutMs, () => {
      const message = `Cannot watch: it could not be checked within ${authTimeoutMs} ms who you are`;
      this.#refuse(new AgentError("store_unavailable", message, { retryable: true }));
    });
    this.#state = { name: "waiting", early: [], cancelDeadline, place };
    lifetime.hold(this.#admit().catch((thrown) => this.#refuse(thrown)));
  }

  received(data: string | ArrayBuffer): void {
    const state = this.#state;
    if (state.name === "watching") return state.client.received(data);
    if (state.name !== "waiting") return;
    const { maxMessageBytes } = this.#deps;
    const bytes = sizeOf(data, maxMessageBytes);
    if (bytes > FAR_OVER * maxMessageBytes) return this.#leave(CLOSE.frameTooLarge);
    // The client would ignore it as well.
    if (bytes > maxMessageBytes) return;
    const max = Math.max(MAX_EARLY_BYTES, maxMessageBytes);
    const isKept = state.early.length < MAX_EARLY_FRAMES && this.#bytes.add(bytes, max) === "kept";
    if (!isKept) return this.#leave(CLOSE.rateLimitAbused);
    state.early.push(data);
  }

  lost(code: number): void {
    const state = this.#state;
    this.#settle({ name: "gone" });
    if (state.name === "watching") state.client.lost(code);
    this.#addressSlot?.release();
    this.#gone.resolve();
  }

  async #admit(): Promise<void> {
    const watcher = await this.#identify();
    const hub = await this.#deps.hub();
    const state = this.#state;
    if (state.name !== "waiting") return;
    if (this.#deps.isDraining()) return this.#leave(ACTIVITY_CLOSE.shuttingDown);
    const client = hub.connect(this.#port, watcher);
    this.#settle({ name: "watching", client });
    client.opened();
    for (const data of state.early) client.received(data);
  }

  #refuse(thrown: unknown): void {
    if (this.#state.name !== "opening" && this.#state.name !== "waiting") return;
    const error = toAgentError(thrown);
    this.#port.send(JSON.stringify(renderError(error, this.#deps.clock.now())));
    if (error.code === "unauthorized") return this.#leave(CLOSE.unauthorized);
    this.#leave(error.code === "too_many_connections" ? CLOSE.tooManyConnections : CLOSE.tryAgainLater);
  }

  #leave({ code, reason }: Closing): void {
    // A peer that reads nothing never answers, and the runtime waits for ever.
    const cancelTimeout = this.#deps.clock.after(CLOSE_TIMEOUT_MS, () => this.lost(code));
    this.#settle({ name: "leaving", cancelTimeout });
    this.#port.close(code, reason);
  }

  /** Goes on to another state, and ends what was for the one before. */
  #settle(next: State): void {
    if (this.#state.name === "waiting") {
      this.#state.cancelDeadline();
      this.#state.place.release();
      this.#bytes.clear();
    } else if (this.#state.name === "leaving") this.#state.cancelTimeout();
    this.#state = next;
  }
}
