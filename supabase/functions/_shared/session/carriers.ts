/**
 * Sockets that carry several connections, as those of the AI SDK's dialect do. Each counts as one connection, however many it
 * carries.
 */

import type { WorkerLifetime } from "../ports/runtime.ts";
import type { Admission, Holder } from "./admission.ts";

/** One such socket. */
export interface Carrier extends Holder {
  /** The worker is being replaced: send the peer away as soon as no answer is being sent to it. */
  drain(): void;
}

/** The place of a socket among the worker's connections. */
export interface CarrierPlace {
  /** The socket is open. Throws `too_many_connections`. */
  open(): void;
  /** It is a user's. Rejects with `too_many_connections` and `store_unavailable`. */
  enterUser(userId: string): Promise<void>;
  /** The socket is gone. */
  release(): void;
}

export interface CarriersOptions {
  admission: Admission;
  lifetime: WorkerLifetime;
  /** Settles when it is known which store is in use. */
  ready?: (() => Promise<void>) | undefined;
  /** Called when a socket is gone. */
  onReleased(): void;
}

export class Carriers {
  readonly #options: CarriersOptions;
  readonly #carriers = new Set<Carrier>();
  #isDraining = false;

  constructor(options: CarriersOptions) {
    this.#options = options;
  }

  /** Accepts a socket that is being upgraded. */
  add(carrier: Carrier): CarrierPlace {
    const { admission, lifetime, ready, onReleased } = this.#options;
    const { promise, resolve } = Promise.withResolvers<void>();
    admission.add(carrier, resolve);
    lifetime.hold(promise);
    this.#carriers.add(carrier);
    return {
      open: () => {
        if (this.#isDraining) carrier.drain();
        else admission.open(carrier);
      },
      enterUser: async (userId) => {
        await ready?.();
        await admission.enterUser(carrier, userId);
      },
      release: () => {
        this.#carriers.delete(carrier);
        admission.release(carrier);
        onReleased();
      },
    };
  }

  drain(): void {
    this.#isDraining = true;
    for (const carrier of [...this.#carriers]) carrier.drain();
  }
}
