/** The relay of a function over a carrier that others can reach and that counts what it carries, such as Realtime. */

import { MessageSeal, type SealProblem } from "../guard/message_seal.ts";
import type { Metrics } from "../metrics.ts";
import type { Relay, RelayPressure } from "../ports/relay.ts";
import type { Clock, Log } from "../ports/runtime.ts";
import { BatchingRelay } from "./batching_relay.ts";
import { PostBudget } from "./post_budget.ts";
import { SigningRelay } from "./signing_relay.ts";

export interface PublicCarrierOptions {
  clock: Clock;
  log: Log;
  /** From 0 up to 1. */
  random(): number;
  /** Posts a second; 0 for any number. */
  perSecond: number;
  /** The first signs, any of them is accepted. */
  secretKeys: readonly string[];
  /** Default: nothing is counted. */
  metrics?: Metrics;
}

/** Gathers messages into batches within a budget of posts, and signs each batch. `connect` makes the carrier. */
export function overPublicCarrier(
  connect: (onPressure: (pressure: RelayPressure) => void) => Relay,
  { clock, log, random, perSecond, secretKeys, metrics }: PublicCarrierOptions,
): BatchingRelay {
  const budget = new PostBudget({ clock, random, perSecond });
  const relay = new SigningRelay({
    relay: connect((pressure) => budget.observe(pressure)),
    seal: new MessageSeal(secretKeys),
    clock,
    log,
    onDropped: (reason: SealProblem) => metrics?.count("relay_forged_total", reason),
  });
  return new BatchingRelay({ relay, clock, log, budget, ...(metrics && { metrics }) });
}
