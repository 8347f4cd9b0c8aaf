/** A relay that is slow to accept a broadcast, on a manual clock. */

import assert from "node:assert/strict";
import { AgentError } from "../../supabase/functions/_shared/errors.ts";
import { fromBatch } from "../../supabase/functions/_shared/notify/relay_batch.ts";
import type { RelayMessage } from "../../supabase/functions/_shared/ports/relay.ts";
import { encodeRelayPayload } from "../../supabase/functions/_shared/protocol/relay_payload.ts";
import { type ManualClock, settle } from "./manual_clock.ts";

/** Takes `delayMs` to accept a broadcast. Refuses it while `isDown`. */
export class SlowRelay {
  readonly broadcasts: { topic: string; message: RelayMessage; at: number }[] = [];
  readonly #clock: ManualClock;
  isDown = false;
  delayMs = 5;
  underWay = new Set<string>();
  /** The time of each post, accepted or not. */
  readonly asked: number[] = [];
  /** Called with the outcome of each post, before the post is answered. */
  onAnswer: (isTaken: boolean) => void = () => {};

  constructor(clock: ManualClock) {
    this.#clock = clock;
  }

  async publish(topic: string, message: RelayMessage): Promise<void> {
    encodeRelayPayload(message.payload);
    assert.ok(!this.underWay.has(topic), "concurrent broadcasts of one topic may arrive out of order");
    this.underWay.add(topic);
    this.asked.push(this.#clock.now());
    await new Promise<void>((resolve) => this.#clock.after(this.delayMs, resolve));
    this.underWay.delete(topic);
    this.onAnswer(!this.isDown);
    if (this.isDown) throw new AgentError("relay_unavailable", "down", { retryable: true });
    this.broadcasts.push({ topic, message, at: this.#clock.now() });
  }

  /** What a listener of the topic receives. */
  heard(topic: string): RelayMessage[] {
    return this.broadcasts.filter((sent) => sent.topic === topic).flatMap(({ message }) =>
      fromBatch(message)
    );
  }
}

/** Moves the clock in small steps, so that a timer that is set after a promise settles fires at the right time. */
export async function pass(clock: ManualClock, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 5) {
    clock.advance(5);
    await settle(1);
  }
}

/** Moves the clock until no timer is left. */
export async function finish(clock: ManualClock): Promise<void> {
  for (let delay = clock.nextDelayMs; delay !== undefined; delay = clock.nextDelayMs) {
    clock.advance(delay);
    await settle(1);
  }
}
