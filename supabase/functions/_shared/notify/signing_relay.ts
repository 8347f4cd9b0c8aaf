/** A relay that signs what it sends and drops what is not validly signed. */

import type { MessageSeal, SealProblem } from "../guard/message_seal.ts";
import type { Relay, RelayListener, RelayMessage, RelayStatus } from "../ports/relay.ts";
import type { CancelTimer, Clock, Log } from "../ports/runtime.ts";
import { encodeRelayPayload } from "../protocol/relay_payload.ts";
import { Listeners } from "./listeners.ts";

/** Shortest time between two log lines about dropped messages. */
const LOG_INTERVAL_MS = 60_000;

export interface SigningRelayOptions {
  /** The transport. */
  relay: Relay;
  seal: MessageSeal;
  clock: Clock;
  log: Log;
  /** Called for each dropped message. */
  onDropped(problem: SealProblem): void;
}

interface Topic {
  readonly listeners: Listeners;
  leave(): void;
}

/**
 * Wraps another relay. It belongs below `BatchingRelay`: then there is one signature per broadcast, and a batch is verified
 * before it is unpacked.
 */
export class SigningRelay implements Relay {
  readonly #options: SigningRelayOptions;
  readonly #topics = new Map<string, Topic>();
  readonly #signing = new Set<Promise<unknown>>();
  /** The signatures that were begun in this moment, until it is over. */
  #moment: { signatures: Promise<unknown>[]; allSigned: Promise<unknown> } | undefined;
  readonly #dropped = new Map<SealProblem, number>();
  #cancelLine: CancelTimer | undefined;
  #isClosed = false;

  constructor(options: SigningRelayOptions) {
    this.#options = options;
  }

  get status(): RelayStatus {
    return this.#options.relay.status;
  }

  subscribe(name: string, listener: RelayListener): () => void {
    if (this.#isClosed) return () => {};
    const topic = this.#topics.get(name) ?? this.#join(name);
    const end = topic.listeners.add(listener);
    return () => {
      if (!end() || topic.listeners.size > 0 || this.#topics.get(name) !== topic) return;
      this.#topics.delete(name);
      topic.leave();
    };
  }

  async publish(topic: string, { event, payload }: RelayMessage): Promise<void> {
    const { relay, seal, clock } = this.#options;
    const signed = this.#withItsMoment(
      seal.seal(topic, { event, body: encodeRelayPayload(payload) }, clock.now()),
    );
    const sent = signed.then((sealed) => relay.publish(topic, { event, payload: sealed }));
    // The relay below does not know of a message that is still being signed, so `close` waits for it here.
    const settled = signed.then(() => {}, () => {}).then(() => void this.#signing.delete(settled));
    this.#signing.add(settled);
    await sent;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelLine?.();
    this.#topics.clear();
    await Promise.all(this.#signing);
    await this.#options.relay.close();
  }

  /** Some signatures take longer. What was published together goes on together, so that the transport can send it so. */
  async #withItsMoment<T>(signature: Promise<T>): Promise<T> {
    this.#moment ??= this.#beginMoment();
    this.#moment.signatures.push(signature);
    await this.#moment.allSigned;
    return await signature;
  }

  #beginMoment(): { signatures: Promise<unknown>[]; allSigned: Promise<unknown> } {
    const signatures: Promise<unknown>[] = [];
    const allSigned = Promise.resolve().then(() => {
      this.#moment = undefined;
      return Promise.allSettled(signatures);
    });
    return { signatures, allSigned };
  }

  #join(name: string): Topic {
    const listeners = new Listeners();
    // A queue, because verifying one message may take longer than verifying the next.
    let last = Promise.resolve();
    const leave = this.#options.relay.subscribe(name, {
      onMessage: (message) => {
        const opened = this.#open(name, message);
        last = last.then(async () => {
          const payload = await opened;
          if (payload === undefined || this.#topics.get(name) !== topic) return;
          listeners.forEach((listener) => listener.onMessage({ event: message.event, payload }));
        });
      },
      onGap: () => listeners.forEach((listener) => listener.onGap?.()),
    });
    const topic = { listeners, leave };
    this.#topics.set(name, topic);
    return topic;
  }

  /** The payload; undefined where the message is dropped. */
  async #open(topic: string, message: RelayMessage): Promise<unknown> {
    const { seal, clock } = this.#options;
    const opened = await seal.open(topic, message, clock.now());
    if ("payload" in opened) return opened.payload;
    this.#drop(opened.problem);
    return undefined;
  }

  /** Logs the first at once, and the others of the next minute as one line. */
  #drop(problem: SealProblem): void {
    this.#options.onDropped(problem);
    this.#dropped.set(problem, (this.#dropped.get(problem) ?? 0) + 1);
    if (this.#cancelLine === undefined) this.#writeLine();
  }

  #writeLine(): void {
    this.#cancelLine = undefined;
    if (this.#dropped.size === 0 || this.#isClosed) return;
    const { log, clock } = this.#options;
    const counts = Object.fromEntries(this.#dropped);
    this.#dropped.clear();
    log.write({ level: "warn", event: "relay_messages_dropped", ...counts });
    this.#cancelLine = clock.after(LOG_INTERVAL_MS, () => this.#writeLine());
  }
}
