/** A relay that takes its time to accept a broadcast, worked by hand. */

import assert from "node:assert/strict";
import { AgentError } from "../../supabase/functions/_shared/errors.ts";
import { fromBatch } from "../../supabase/functions/_shared/notify/relay_batch.ts";
import type { RelayMessage } from "../../supabase/functions/_shared/ports/relay.ts";
import { encodeRelayPayload } from "../../supabase/functions/_shared/protocol/relay_payload.ts";
import { type ManualClock, settle } from "./manual_clock.ts";

/** A relay that takes `delayMs` to accept a broadcast, or refuses it while `isDown`. */
export class SlowRelay {
  readonly broadcasts: { topic: string; message: RelayMessage; at: number }[] = [];
  readonly #clock: ManualClock;
  isDown = false;
  delayMs = 5;
  underWay = new Set<string>();
  /** Posts that came, taken or not, by when they came. */
  readonly asked: number[] = [];
  /** Called with each answer, before it is given. */
  onAnswer: (isTaken: boolean) => void = () => {};

  constructor(clock: ManualClock) {
    this.#clock = clock;
  }

  async publish(topic: string, message: RelayMessage): Promise<void> {
    encodeRelayPayload(message.payload);
    assert.ok(!this.underWay.has(topic), "two broadcasts of a topic at once may overtake each other");
    this.underWay.add(topic);
    this.asked.push(this.#clock.now());
    await new Promise<void>((resolve) => this.#clock.after(this.delayMs, resolve));
    this.underWay.delete(topic);
    this.onAnswer(!this.isDown);
    if (this.isDown) throw new AgentError("relay_unavailable", "down", { retryable: true });
    this.broadcasts.push({ topic, message, at: this.#clock.now() });
  }

  /** What a listener of the topic would hear. */
  heard(topic: string): RelayMessage[] {
    return this.broadcasts.filter((sent) => sent.topic === topic).flatMap(({ message }) =>
      fromBatch(message)
    );
  }
}

/** Moves on in small steps, so that what waits for a promise and then a timer happens at its time. */
export async function pass(clock: ManualClock, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 5) {
    clock.advance(5);
    await settle(1);
  }
}

/** Until there is nothing left to wait for. */
export async function finish(clock: ManualClock): Promise<void> {
  for (let delay = clock.nextDelayMs; delay !== undefined; delay = clock.nextDelayMs) {
    clock.advance(delay);
    await settle(1);
  }
}
